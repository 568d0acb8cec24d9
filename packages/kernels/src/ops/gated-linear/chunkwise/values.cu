#include "values.h"

#include "../general/general.h"
#include "calls.h"

namespace longscan {

namespace {

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

/// The usual recurrence that this one is. Of its queries the forward pass uses nothing.
Call exchanged(const Call& call, const void* queries) {
  Call usual = call;
  usual.decayOnValues = 0;
  usual.K = call.V;
  usual.V = call.K;
  usual.q = queries;
  usual.k = call.v;
  usual.v = call.k;
  usual.decayed = nullptr;  // of other queries in the backward pass
  return usual;
}

/// Whether the chunkwise kernels are used.
bool chunkwise(const Call& call) {
  return call.type == longscanBf16 && call.decay == longscanDecayDiagonal && sweepsFit(call.K, call.V);
}

struct ReadWorkspace {
  WorkspaceParts parts;
  unsigned char* images;  // as BackwardWorkspace::stateImages

  ReadWorkspace(const Call& usual, const Plan& plan, void* base)
      : parts(base),
        images(parts.take<unsigned char>(plan.heads * plan.numChunks * imageBytes(usual.K, usual.V))) {}
};

/// The usual forward and backward workspaces come first, for that is where summaries leave theirs.
template <typename First>
void* behind(const First& first, void* base) {
  return base ? static_cast<char*>(base) + first.parts.used() : nullptr;
}

/// out = scale * S_t by_t, as dq is of dO, and the last state if the slice is not cut.
cudaError_t readAlongValues(const Call& usual, const Plan& plan, const ForwardWorkspace& work,
                            const ReadWorkspace& read, const void* by, const float* states, void* out,
                            float* last, cudaStream_t stream) {
  SweepCall sweep = sweepOf(usual, plan, false);
  SweepTask& task = sweep.tasks[0];
  task = imagesTask(usual, work.decayed, states, read.images);
  if (plan.numSegments == 1) task.last = last;
  task.factor = work.summaries.factor;
  task.reset = work.summaries.reset;
  LONGSCAN_TRY(launchSummary(sweep, stream));
  DiagonalGradientCall gradient{};
  gradient.call = diagonalOf(usual, work.decayed);
  gradient.v = static_cast<const Bf16*>(usual.v);
  gradient.dO = static_cast<const Bf16*>(by);
  gradient.states = read.images;
  gradient.dq = static_cast<Bf16*>(out);
  return launchDiagonalGradient(gradient, stream);
}

}  // namespace

size_t valuesStatesBytes(const Call& call) {
  const Call usual = exchanged(call, call.v);
  if (!chunkwise(call)) return generalStatesBytes(usual);
  const Plan plan(usual);
  return sizeof(float) * plan.heads * plan.numSegments * plan.stateSize;
}

size_t valuesWorkspaceBytes(const Call& call) {
  const Call usual = exchanged(call, call.v);
  if (!chunkwise(call)) return generalWorkspaceBytes(usual);
  const Plan plan(usual);
  return ForwardWorkspace(usual, plan, nullptr).parts.used() +
         ReadWorkspace(usual, plan, nullptr).parts.used();
}

size_t valuesBackwardWorkspaceBytes(const Call& call) {
  const Call usual = exchanged(call, call.v);
  const size_t unused = sizeof(float) * call.B * call.T * call.H * call.V;
  if (!chunkwise(call)) return generalBackwardWorkspaceBytes(usual) + unused;
  const Plan plan(usual);
  return BackwardWorkspace(usual, plan, nullptr).parts.used() +
         ForwardWorkspace(usual, plan, nullptr).parts.used() + unused;
}

cudaError_t valuesForward(const Call& call, const LongscanGatedLinearForward& io, cudaStream_t stream) {
  const Call usual = exchanged(call, call.v);
  if (!chunkwise(call)) return generalForwardBy(usual, call.q, true, io, stream);
  const Plan plan(usual);
  const ForwardWorkspace work(usual, plan, io.workspace);
  const ReadWorkspace read(usual, plan, behind(work, io.workspace));
  if (!io.prepared) LONGSCAN_TRY(prepareForward(usual, plan, work, segmentsOf(plan), stream));
  LONGSCAN_TRY(combine(usual, plan, work.summaries, io.h0, 1.0f, false, io.states, io.ht, nullptr, stream));
  return readAlongValues(usual, plan, work, read, call.q, io.states, io.o, io.ht, stream);
}

cudaError_t valuesBackward(const Call& call, const LongscanGatedLinearBackward& io, cudaStream_t stream) {
  const Call usual = exchanged(call, io.dO);
  LongscanGatedLinearBackward others = io;
  others.dO = call.q;
  others.dk = io.dv;
  others.dv = io.dk;
  if (!chunkwise(call)) {
    LONGSCAN_TRY(generalOutput(usual, io.states, io.dq, stream));
    others.dq = static_cast<char*>(io.workspace) + generalBackwardWorkspaceBytes(usual);
    return generalBackward(usual, others, stream);
  }
  const Plan plan(usual);
  const BackwardWorkspace first(usual, plan, nullptr);
  const ForwardWorkspace output(usual, plan, behind(first, io.workspace));
  LONGSCAN_TRY(launchDiagonalPrepare(diagonalOf(usual, output.decayed), stream));
  LONGSCAN_TRY(outputOf(usual, plan, output.decayed, io.states, io.dq, nullptr, stream));
  others.dq = static_cast<char*>(io.workspace) + first.parts.used() + output.parts.used();
  return backward(usual, others, stream);
}

cudaError_t valuesSummarize(const Call& call, const LongscanGatedLinearSummary& io, cudaStream_t stream) {
  const Call usual = exchanged(call, call.v);
  return chunkwise(call) ? summarize(usual, io, stream) : generalSummarize(usual, io, stream);
}

cudaError_t valuesSummarizeBackward(const Call& call, const LongscanGatedLinearSummaryBackward& io,
                                    cudaStream_t stream) {
  const Call usual = exchanged(call, io.dO);
  LongscanGatedLinearSummaryBackward by = io;
  by.dO = call.q;
  return chunkwise(call) ? summarizeBackward(usual, by, stream) : generalSummarizeBackward(usual, by, stream);
}

#undef LONGSCAN_TRY

}  // namespace longscan
