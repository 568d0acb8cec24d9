#include "../segments/trace.h"
#include "calls.h"

namespace longscan {

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

cudaError_t prepareForward(const Call& call, const Plan& plan, const ForwardWorkspace& work, Summarize how,
                           cudaStream_t stream) {
  const SweepRows rest = restOf(call, plan, work.decayed, how);
  if (plan.diagonal) {
    DiagonalCall diagonal = diagonalOf(call, work.decayed);
    diagonal.keyRest = const_cast<Bf16*>(rest.data);
    LONGSCAN_TRY(launchDiagonalPrepare(diagonal, stream));
  }
  if (how == Summarize::no) return cudaSuccess;
  const Inputs inputs(call, work.decayed);
  if (plan.traces) return sumSegments(call, plan, work.summaries, inputs.k, inputs.v, false, stream);
  SweepCall sweep = sweepOf(call, plan, false);
  sweep.tasks[0] = summaryTask(work.summaries, inputs.decayedKey, inputs.v, work.decayed.gamma, false);
  sweep.tasks[0].yRest = rest;
  return launchSummary(sweep, stream);
}

cudaError_t outputOf(const Call& call, const Plan& plan, const Decayed& decayed, const float* states, void* o,
                     float* last, cudaStream_t stream) {
  const Inputs inputs(call, decayed);
  SweepCall sweep = sweepOf(call, plan, false);
  SweepTask& task = sweep.tasks[0];
  task.x = inputs.decayedQuery;
  task.y = inputs.decayedKey;
  task.z = inputs.v;
  task.scores = decayed.scores;
  task.scoreTerms = 1;
  task.gamma = decayed.gamma;
  task.out = static_cast<Bf16*>(o);
  task.outPitch = call.H * call.V;
  task.states = states;
  task.images = decayed.stateImages;
  task.last = plan.numSegments > 1 ? nullptr : last;
  task.lastScale = 1.0f;
  return launchSweep(sweep, stream);
}

/// The same of a scalar decay or none where there are no documents.
static cudaError_t trace(const Call& call, const Plan& plan, const ForwardWorkspace& work,
                         const LongscanGatedLinearForward& io, float* last, cudaStream_t stream) {
  const Inputs inputs(call, work.decayed);
  TraceCall trace = segmentedCall<TraceCall>(call, plan);
  trace.scale = call.scale;
  trace.q = inputs.q;
  trace.k = inputs.k;
  trace.v = inputs.v;
  trace.g = call.g;
  trace.gatePerToken = call.decay == longscanDecayScalar;
  trace.states = io.states;
  trace.last = plan.numSegments > 1 ? nullptr : last;
  trace.o = static_cast<Bf16*>(io.o);
  return launchTrace(trace, stream);
}

cudaError_t forward(const Call& call, const LongscanGatedLinearForward& io, cudaStream_t stream) {
  const Plan plan(call);
  const ForwardWorkspace work(call, plan, io.workspace);
  if (!io.prepared) LONGSCAN_TRY(prepareForward(call, plan, work, segmentsOf(plan), stream));
  float* const kept = plan.retraces ? io.states + plan.statesSize() : nullptr;
  LONGSCAN_TRY(combine(call, plan, work.summaries, io.h0, 1.0f, false, io.states, io.ht, kept, stream));
  if (!plan.traces) return outputOf(call, plan, work.decayed, io.states, io.o, io.ht, stream);
  LONGSCAN_TRY(trace(call, plan, work, io, kept ? kept : io.ht, stream));
  if (plan.numSegments > 1 || kept == nullptr || io.ht == nullptr) return cudaSuccess;
  return cudaMemcpyAsync(io.ht, kept, sizeof(float) * plan.heads * plan.stateSize, cudaMemcpyDeviceToDevice,
                         stream);
}

cudaError_t summarize(const Call& call, const LongscanGatedLinearSummary& io, cudaStream_t stream) {
  const Plan plan(call);
  const ForwardWorkspace work(call, plan, io.workspace);
  LONGSCAN_TRY(prepareForward(call, plan, work, Summarize::forSlices, stream));
  CombineCall fold = combineOf(call, plan, work.summaries, false);
  fold.outgoing = io.state;
  LONGSCAN_TRY(launchCombine(fold, stream));
  return launchCombineFactors(fold, call.H, io.factor, io.reset, stream);
}

#undef LONGSCAN_TRY

}  // namespace longscan
