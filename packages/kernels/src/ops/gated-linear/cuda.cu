#include "cuda.h"

#include "cuda_decay_gradient.h"
#include "cuda_diagonal.h"
#include "cuda_general.h"
#include "cuda_plan.h"

namespace longscan {

namespace {

using Call = LongscanGatedLinear;

bool supported(const Call& call) {
  const auto headSize = [](int size, int most) { return size > 0 && size <= most && size % 8 == 0; };
  return call.B > 0 && call.T > 0 && call.H > 0 && call.G > 0 && call.H % call.G == 0 &&
         headSize(call.K, 256) && headSize(call.V, 512) && call.decay >= 0 &&
         call.decay <= longscanDecayDiagonal && (call.type == longscanBf16 || call.type == longscanF32);
}

/// Whether the chunkwise kernels know the call.
bool chunkwise(const Call& call) {
  return call.type == longscanBf16 && call.bonus == nullptr &&
         (call.V <= mostContracted || call.decay == longscanDecayDiagonal);
}

SweepRows rowsOf(const void* data, int heads, int channels) {
  return {static_cast<const Bf16*>(data), heads, channels};
}

/// The tensors that the sweeps read.
struct Inputs {
  SweepRows q, k, v;
  /// Of a diagonal decay: decayed to the border of their chunk.
  SweepRows decayedQuery, decayedKey;

  Inputs(const Call& call, const Decayed& decayed)
      : q(rowsOf(call.q, call.G, call.K)),
        k(rowsOf(call.k, call.G, call.K)),
        v(rowsOf(call.v, call.H, call.V)),
        decayedQuery(decayed.query ? rowsOf(decayed.query, call.H, call.K) : q),
        decayedKey(decayed.key ? rowsOf(decayed.key, call.H, call.K) : k) {}
};

/// Columns of the rows from `first` on.
SweepRows columnsOf(SweepRows rows, int first) {
  rows.data += first;
  return rows;
}

SweepCall sweepOf(const Call& call, const Plan& plan, bool freeIsKey) {
  SweepCall sweep{};
  sweep.B = call.B;
  sweep.T = call.T;
  sweep.H = call.H;
  sweep.contracted = freeIsKey ? plan.contractedValues : call.K;
  sweep.free = freeIsKey ? call.K : call.V;
  sweep.kind = !plan.diagonal ? SweepDecay::scalar : freeIsKey ? SweepDecay::free : SweepDecay::contracted;
  sweep.scale = call.scale;
  sweep.g = plan.diagonal ? nullptr : call.g;
  sweep.gatePerToken = call.decay == longscanDecayScalar;
  sweep.resets = call.resets;
  sweep.numSegments = plan.numSegments;
  sweep.chunksPerSegment = plan.chunksPerSegment;
  sweep.stateStride = plan.stateSize;
  sweep.numTasks = 1;
  return sweep;
}

DiagonalCall diagonalOf(const Call& call, const Decayed& to, int scoreTerms, bool backwardOrder) {
  DiagonalCall diagonal{};
  diagonal.B = call.B;
  diagonal.T = call.T;
  diagonal.H = call.H;
  diagonal.G = call.G;
  diagonal.K = call.K;
  diagonal.V = call.V;
  diagonal.scale = call.scale;
  diagonal.q = static_cast<const Bf16*>(call.q);
  diagonal.k = static_cast<const Bf16*>(call.k);
  diagonal.g = call.g;
  diagonal.resets = call.resets;
  diagonal.backwardOrder = backwardOrder;
  diagonal.decayedQuery = to.query;
  diagonal.decayedKey = to.key;
  diagonal.gamma = to.gamma;
  diagonal.scores = to.scores;
  diagonal.scoreTerms = scoreTerms;
  return diagonal;
}

/// What each segment makes of a zero state: `y` and `z` are k and v, or against time q and dO.
cudaError_t summarizeSegments(const Call& call, const Plan& plan, const Summaries& to, SweepRows y,
                              SweepRows z, const float* gamma, bool backward, cudaStream_t stream) {
  SweepCall sweep = sweepOf(call, plan, false);
  SweepTask& task = sweep.tasks[0];
  task.y = y;
  task.z = z;
  task.gamma = gamma;
  task.backward = backward;
  task.last = to.states;
  task.factor = to.factor;
  task.reset = to.reset;
  return launchSummary(sweep, stream);
}

/// Sweeps of scalar kinds put the scale on what they read, so their adjoint state is that of o / scale.
float adjointScale(const Call& call, const Plan& plan) {
  return plan.diagonal ? 1.0f : call.scale;
}

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

/// All that needs no incoming state, but the summaries only if they are wanted.
cudaError_t prepareForward(const Call& call, const Plan& plan, const ForwardWorkspace& work,
                           bool wantSummaries, cudaStream_t stream) {
  if (plan.diagonal) LONGSCAN_TRY(launchDiagonalPrepare(diagonalOf(call, work.decayed, 1, false), stream));
  if (!wantSummaries) return cudaSuccess;
  const Inputs inputs(call, work.decayed);
  return summarizeSegments(call, plan, work.summaries, inputs.decayedKey, inputs.v, work.decayed.gamma, false,
                           stream);
}

cudaError_t prepareBackward(const Call& call, const Plan& plan, const BackwardWorkspace& work, const void* dO,
                            bool wantSummaries, cudaStream_t stream) {
  if (plan.diagonal)
    LONGSCAN_TRY(
        launchDiagonalPrepare(diagonalOf(call, work.decayed, BackwardWorkspace::scoreTerms, true), stream));
  if (!wantSummaries) return cudaSuccess;
  const Inputs inputs(call, work.decayed);
  return summarizeSegments(call, plan, work.summaries, inputs.decayedQuery, rowsOf(dO, call.H, call.V),
                           work.decayed.gamma, true, stream);
}

/// The states that enter the segments, and the one that leaves the slice if it is cut at all.
cudaError_t combine(const Call& call, const Plan& plan, const Summaries& from, const float* incoming,
                    float incomingScale, bool backward, float* states, float* outgoing, cudaStream_t stream) {
  CombineCall fold = combineOf(call, plan, from, backward);
  const bool cut = plan.numSegments > 1;
  if (!cut) fold.summaries = nullptr;
  fold.incoming = incoming;
  fold.incomingScale = incomingScale;
  fold.outgoingScale = 1.0f / incomingScale;
  fold.states = states;
  fold.outgoing = cut ? outgoing : nullptr;
  return launchCombine(fold, stream);
}

cudaError_t forward(const Call& call, const LongscanGatedLinearForward& io, cudaStream_t stream) {
  const Plan plan(call);
  const ForwardWorkspace work(call, plan, io.workspace);
  if (!io.prepared) LONGSCAN_TRY(prepareForward(call, plan, work, plan.numSegments > 1, stream));
  LONGSCAN_TRY(combine(call, plan, work.summaries, io.h0, 1.0f, false, io.states, io.ht, stream));

  const Inputs inputs(call, work.decayed);
  SweepCall sweep = sweepOf(call, plan, false);
  SweepTask& task = sweep.tasks[0];
  task.x = inputs.decayedQuery;
  task.y = inputs.decayedKey;
  task.z = inputs.v;
  task.scores = work.decayed.scores;
  task.scoreTerms = 1;
  task.gamma = work.decayed.gamma;
  task.out = io.o;
  task.states = io.states;
  task.last = plan.numSegments > 1 ? nullptr : io.ht;
  task.lastScale = 1.0f;
  return launchSweep(sweep, stream);
}

/// dq: with time, from the forward states; of the values from `part` * mostContracted on.
SweepTask queryGradientTask(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                            const BackwardWorkspace& work, int part) {
  const Inputs inputs(call, work.decayed);
  const int first = part * mostContracted;
  SweepTask task{};
  task.x = columnsOf(rowsOf(io.dO, call.H, call.V), first);
  task.y = columnsOf(inputs.v, first);
  task.z = inputs.decayedKey;
  task.gamma = work.decayed.gamma;
  task.out = plan.diagonal ? static_cast<void*>(work.sweptQuery + part * work.sweptPart) : io.dq;
  task.states = io.states + int64_t{first} * call.K;
  task.freeIsKey = true;
  if (!plan.hasGradient) return task;
  task.kept = work.kept + part * work.keptPart;
  if (!plan.diagonal) task.partner = inputs.q;
  task.dots = work.queryDots;
  return task;
}

SweepTask keyGradientTask(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                          const BackwardWorkspace& work, int part) {
  const Inputs inputs(call, work.decayed);
  const int first = part * mostContracted;
  SweepTask task{};
  task.x = columnsOf(inputs.v, first);
  task.y = columnsOf(rowsOf(io.dO, call.H, call.V), first);
  task.z = inputs.decayedQuery;
  task.gamma = work.decayed.gamma;
  task.out = plan.diagonal ? static_cast<void*>(work.sweptKey + part * work.sweptPart) : io.dk;
  task.states = work.adjoints + int64_t{first} * call.K;
  task.freeIsKey = true;
  task.backward = true;
  if (!plan.hasGradient) return task;
  task.keptForward = work.kept + part * work.keptPart;
  task.ends = work.ends + part * work.endsPart;
  if (!plan.diagonal) task.partner = inputs.k;
  task.dots = work.keyDots;
  return task;
}

SweepTask valueGradientTask(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                            const BackwardWorkspace& work) {
  const Inputs inputs(call, work.decayed);
  SweepTask task{};
  task.x = inputs.decayedKey;
  task.y = inputs.decayedQuery;
  task.z = rowsOf(io.dO, call.H, call.V);
  task.scores = work.decayed.scores;
  task.scoreTerms = BackwardWorkspace::scoreTerms;
  task.gamma = work.decayed.gamma;
  task.out = io.dv;
  task.states = work.adjoints;
  task.backward = true;
  task.last = plan.numSegments > 1 ? nullptr : io.dh0;
  task.lastScale = adjointScale(call, plan);
  return task;
}

cudaError_t sweepBackward(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                          const BackwardWorkspace& work, cudaStream_t stream) {
  SweepCall ofQuery = sweepOf(call, plan, true), ofKey = ofQuery, ofValue = sweepOf(call, plan, false);
  ofQuery.numTasks = ofKey.numTasks = plan.valueParts;
  for (int part = 0; part < plan.valueParts; part++) {
    ofQuery.tasks[part] = queryGradientTask(call, plan, io, work, part);
    ofKey.tasks[part] = keyGradientTask(call, plan, io, work, part);
  }
  ofValue.tasks[0] = valueGradientTask(call, plan, io, work);
  LONGSCAN_TRY(launchSweep(ofQuery, stream));
  // Of equal sizes, both are one launch: neither waits for the other's last blocks.
  if (!plan.diagonal && call.K == call.V) {
    ofKey.tasks[ofKey.numTasks++] = ofValue.tasks[0];
    return launchSweep(ofKey, stream);
  }
  LONGSCAN_TRY(launchSweep(ofKey, stream));
  return launchSweep(ofValue, stream);
}

cudaError_t differentiateDiagonalDecay(const Call& call, const Plan& plan,
                                       const LongscanGatedLinearBackward& io, const BackwardWorkspace& work,
                                       cudaStream_t stream) {
  DiagonalGradientCall gradient{};
  gradient.call = diagonalOf(call, work.decayed, BackwardWorkspace::scoreTerms, true);
  gradient.v = static_cast<const Bf16*>(call.v);
  gradient.dO = static_cast<const Bf16*>(io.dO);
  gradient.parts = plan.valueParts;
  gradient.sweptQuery = work.sweptQuery;
  gradient.sweptKey = work.sweptKey;
  gradient.ends = work.ends;
  gradient.fromZero = io.fromZero != 0;
  gradient.dq = static_cast<Bf16*>(io.dq);
  gradient.dk = static_cast<Bf16*>(io.dk);
  gradient.dg = io.dg;
  return launchDiagonalGradient(gradient, stream);
}

cudaError_t differentiateScalarDecay(const Call& call, const Plan& plan,
                                     const LongscanGatedLinearBackward& io, const BackwardWorkspace& work,
                                     cudaStream_t stream) {
  DecayGradientCall gradient{};
  gradient.B = call.B;
  gradient.T = call.T;
  gradient.H = call.H;
  gradient.parts = dotParts(plan.contractedValues, call.K);
  gradient.endParts = endParts(plan.contractedValues, call.K);
  gradient.queryDots = work.queryDots;
  gradient.keyDots = work.keyDots;
  gradient.ends = work.ends;
  gradient.endScale = call.scale;
  gradient.resets = call.resets;
  gradient.fromZero = io.fromZero != 0;
  gradient.dg = io.dg;
  return launchDecayGradient(gradient, stream);
}

cudaError_t backward(const Call& call, const LongscanGatedLinearBackward& io, cudaStream_t stream) {
  const Plan plan(call);
  const BackwardWorkspace work(call, plan, io.workspace);
  if (!io.prepared) LONGSCAN_TRY(prepareBackward(call, plan, work, io.dO, plan.numSegments > 1, stream));
  LONGSCAN_TRY(combine(call, plan, work.summaries, io.dht, 1.0f / adjointScale(call, plan), true,
                       work.adjoints, io.dh0, stream));
  LONGSCAN_TRY(sweepBackward(call, plan, io, work, stream));
  if (!plan.hasGradient) return cudaSuccess;
  return plan.diagonal ? differentiateDiagonalDecay(call, plan, io, work, stream)
                       : differentiateScalarDecay(call, plan, io, work, stream);
}

cudaError_t summarize(const Call& call, const LongscanGatedLinearSummary& io, cudaStream_t stream) {
  const Plan plan(call);
  const ForwardWorkspace work(call, plan, io.workspace);
  LONGSCAN_TRY(prepareForward(call, plan, work, true, stream));
  CombineCall fold = combineOf(call, plan, work.summaries, false);
  fold.outgoing = io.state;
  LONGSCAN_TRY(launchCombine(fold, stream));
  return launchCombineFactors(fold, call.H, io.factor, io.reset, stream);
}

cudaError_t summarizeBackward(const Call& call, const LongscanGatedLinearSummaryBackward& io,
                              cudaStream_t stream) {
  const Plan plan(call);
  const BackwardWorkspace work(call, plan, io.workspace);
  LONGSCAN_TRY(prepareBackward(call, plan, work, io.dO, true, stream));
  CombineCall fold = combineOf(call, plan, work.summaries, true);
  fold.outgoing = io.adjoint;
  fold.outgoingScale = adjointScale(call, plan);
  return launchCombine(fold, stream);
}

#undef LONGSCAN_TRY

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanGatedLinearStatesBytes(const LongscanGatedLinear* call) {
  if (!supported(*call)) return 0;
  if (!chunkwise(*call)) return generalStatesBytes(*call);
  const Plan plan(*call);
  return sizeof(float) * plan.heads * plan.numSegments * plan.stateSize;
}

size_t longscanGatedLinearWorkspaceBytes(const LongscanGatedLinear* call) {
  if (!supported(*call)) return 0;
  return chunkwise(*call) ? ForwardWorkspace(*call, Plan(*call), nullptr).parts.used()
                          : generalWorkspaceBytes(*call);
}

size_t longscanGatedLinearBackwardWorkspaceBytes(const LongscanGatedLinear* call) {
  if (!supported(*call)) return 0;
  return chunkwise(*call) ? BackwardWorkspace(*call, Plan(*call), nullptr).parts.used()
                          : generalBackwardWorkspaceBytes(*call);
}

int longscanGatedLinearForward(const LongscanGatedLinear* call, const LongscanGatedLinearForward* io,
                               CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return chunkwise(*call) ? forward(*call, *io, stream) : generalForward(*call, *io, stream);
}

int longscanGatedLinearBackward(const LongscanGatedLinear* call, const LongscanGatedLinearBackward* io,
                                CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return chunkwise(*call) ? backward(*call, *io, stream) : generalBackward(*call, *io, stream);
}

int longscanGatedLinearSummarize(const LongscanGatedLinear* call, const LongscanGatedLinearSummary* io,
                                 CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return chunkwise(*call) ? summarize(*call, *io, stream) : generalSummarize(*call, *io, stream);
}

int longscanGatedLinearSummarizeBackward(const LongscanGatedLinear* call,
                                         const LongscanGatedLinearSummaryBackward* io, CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return chunkwise(*call) ? summarizeBackward(*call, *io, stream)
                          : generalSummarizeBackward(*call, *io, stream);
}
