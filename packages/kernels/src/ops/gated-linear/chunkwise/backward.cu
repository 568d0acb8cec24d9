#include "../retrace/retrace.h"
#include "../reverse/reverse.h"
#include "calls.h"
#include "cuda/sum_parts.cuh"
#include "decay_gradient.h"

namespace longscan {

namespace {

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

SweepTask adjointSummaryTask(const Call& call, const BackwardWorkspace& work, const void* dO) {
  const Inputs inputs(call, work.decayed);
  return summaryTask(work.summaries, inputs.decayedQuery, rowsOf(dO, call.H, call.V), work.decayed.gamma,
                     true);
}

/// The same of a slice without documents.
cudaError_t sumAdjoints(const Call& call, const Plan& plan, const BackwardWorkspace& work, const void* dO,
                        cudaStream_t stream) {
  const Inputs inputs(call, work.decayed);
  return sumSegments(call, plan, work.summaries, inputs.q, rowsOf(dO, call.H, call.V), true, stream);
}

cudaError_t prepareBackward(const Call& call, const Plan& plan, const BackwardWorkspace& work, const void* dO,
                            Summarize how, cudaStream_t stream) {
  const SweepRows rest = restOf(call, plan, work.decayed, how);
  if (plan.diagonal && (call.decayed == nullptr || rest.data != nullptr)) {
    DiagonalCall diagonal = diagonalOf(call, work.decayed);
    diagonal.queryRest = const_cast<Bf16*>(rest.data);
    // The forward pass has left what segments need; slices want what rounding takes off it too.
    LONGSCAN_TRY(call.decayed ? launchQueryRest(diagonal, stream) : launchDiagonalPrepare(diagonal, stream));
  }
  if (how != Summarize::forSlices) return cudaSuccess;
  if (plan.traces) return sumAdjoints(call, plan, work, dO, stream);
  SweepCall sweep = sweepOf(call, plan, false);
  sweep.tasks[0] = adjointSummaryTask(call, work, dO);
  sweep.tasks[0].yRest = rest;
  return launchSummary(sweep, stream);
}

/// What the sweeps against time start from, and in the same launch the states before every chunk where all
/// gradients are made of them and the forward pass has left none.
cudaError_t summarizeStates(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                            const BackwardWorkspace& work, cudaStream_t stream) {
  SweepCall sweep = sweepOf(call, plan, false);
  sweep.numTasks = 0;
  if (work.stateImages && !work.decayed.stateImages)
    sweep.tasks[sweep.numTasks++] = imagesTask(call, work.decayed, io.states, work.stateImages);
  const bool sums = !io.prepared && plan.numSegments > 1;
  if (sums && !plan.traces) sweep.tasks[sweep.numTasks++] = adjointSummaryTask(call, work, io.dO);
  if (sweep.numTasks > 0) LONGSCAN_TRY(launchSummary(sweep, stream));
  if (sums && plan.traces) LONGSCAN_TRY(sumAdjoints(call, plan, work, io.dO, stream));
  return combine(call, plan, work.summaries, io.dht, 1.0f / adjointScale(call, plan), true, work.adjoints,
                 io.dh0, nullptr, stream);
}

/// dq of a scalar decay: with time, from the forward states.
SweepTask queryGradientTask(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                            const BackwardWorkspace& work) {
  const Inputs inputs(call, work.decayed);
  SweepTask task{};
  task.x = rowsOf(io.dO, call.H, call.V);
  task.y = inputs.v;
  task.z = inputs.k;
  task.out = static_cast<Bf16*>(io.dq);
  task.outPitch = pitchOf(call, call.H, call.K);
  task.states = io.states;
  task.freeIsKey = true;
  if (!plan.hasGradient) return task;
  task.kept = work.kept;
  task.partner = inputs.q;
  task.dots = work.queryDots;
  return task;
}

/// dk of a scalar decay.
SweepTask keyGradientTask(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                          const BackwardWorkspace& work) {
  const Inputs inputs(call, work.decayed);
  SweepTask task{};
  task.x = inputs.v;
  task.y = rowsOf(io.dO, call.H, call.V);
  task.z = inputs.q;
  task.out = static_cast<Bf16*>(io.dk);
  task.outPitch = pitchOf(call, call.H, call.K);
  task.states = work.adjoints;
  task.freeIsKey = true;
  task.backward = true;
  if (!plan.hasGradient) return task;
  task.keptForward = work.kept;
  task.ends = work.ends;
  task.partner = inputs.k;
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
  task.scoreTerms = work.decayed.scoreTerms;
  task.gamma = work.decayed.gamma;
  task.out = static_cast<Bf16*>(io.dv);
  task.outPitch = pitchOf(call, call.H, call.V);
  task.states = work.adjoints;
  task.images = work.adjointImages;
  task.backward = true;
  task.last = plan.numSegments > 1 ? nullptr : io.dh0;
  task.lastScale = adjointScale(call, plan);
  return task;
}

cudaError_t sweepBackward(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                          const BackwardWorkspace& work, cudaStream_t stream) {
  SweepCall ofQuery = sweepOf(call, plan, true), ofKey = ofQuery, ofValue = sweepOf(call, plan, false);
  ofQuery.tasks[0] = queryGradientTask(call, plan, io, work);
  ofKey.tasks[0] = keyGradientTask(call, plan, io, work);
  ofValue.tasks[0] = valueGradientTask(call, plan, io, work);
  LONGSCAN_TRY(launchSweep(ofQuery, stream));
  // Of equal sizes, both are one launch: neither waits for the other's last blocks.
  if (call.K == call.V) {
    ofKey.tasks[ofKey.numTasks++] = ofValue.tasks[0];
    return launchSweep(ofKey, stream);
  }
  LONGSCAN_TRY(launchSweep(ofKey, stream));
  return launchSweep(ofValue, stream);
}

/// dv, and all else from the states on both sides of each chunk.
cudaError_t differentiateDiagonalDecay(const Call& call, const Plan& plan,
                                       const LongscanGatedLinearBackward& io, const BackwardWorkspace& work,
                                       cudaStream_t stream) {
  SweepCall ofValue = sweepOf(call, plan, false);
  ofValue.tasks[0] = valueGradientTask(call, plan, io, work);
  LONGSCAN_TRY(launchSweep(ofValue, stream));
  DiagonalGradientCall gradient{};
  gradient.call = diagonalOf(call, work.decayed);
  gradient.v = static_cast<const Bf16*>(call.v);
  gradient.dO = static_cast<const Bf16*>(io.dO);
  gradient.states = work.stateImages;
  gradient.adjoints = work.adjointImages;
  gradient.fromZero = io.fromZero != 0;
  gradient.dq = static_cast<Bf16*>(io.dq);
  gradient.dk = static_cast<Bf16*>(io.dk);
  gradient.dg = io.dg;
  gradient.bonusShares = work.bonusShares;
  LONGSCAN_TRY(launchDiagonalGradient(gradient, stream));
  if (call.bonus == nullptr) return cudaSuccess;
  return launchSumParts<float>({work.bonusShares, plan.numChunks, plan.heads, call.K, 1}, io.dbonus, stream);
}

cudaError_t differentiateScalarDecay(const Call& call, const Plan& plan,
                                     const LongscanGatedLinearBackward& io, const BackwardWorkspace& work,
                                     cudaStream_t stream) {
  DecayGradientCall gradient{};
  gradient.B = call.B;
  gradient.T = call.T;
  gradient.H = call.H;
  gradient.parts = dotParts(call.V, call.K);
  gradient.endParts = endParts(call.V, call.K);
  gradient.queryDots = work.queryDots;
  gradient.keyDots = work.keyDots;
  gradient.ends = work.ends;
  gradient.endScale = call.scale;
  gradient.resets = call.resets;
  gradient.fromZero = io.fromZero != 0;
  gradient.dg = io.dg;
  return launchDecayGradient(gradient, stream);
}

/// A call of a sweep that gives all gradients at once.
template <typename KernelCall>
KernelCall gradientsCall(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                         const BackwardWorkspace& work) {
  const Inputs inputs(call, work.decayed);
  KernelCall gradients = segmentedCall<KernelCall>(call, plan);
  gradients.scale = call.scale;
  gradients.q = inputs.q;
  gradients.k = inputs.k;
  gradients.v = inputs.v;
  gradients.dO = rowsOf(io.dO, call.H, call.V);
  gradients.adjoints = work.adjoints;
  gradients.dq = static_cast<Bf16*>(io.dq);
  gradients.dk = static_cast<Bf16*>(io.dk);
  gradients.dv = static_cast<Bf16*>(io.dv);
  gradients.keyPitch = pitchOf(call, call.H, call.K);
  gradients.valuePitch = pitchOf(call, call.H, call.V);
  gradients.dh0 = plan.numSegments > 1 ? nullptr : io.dh0;
  return gradients;
}

cudaError_t sweepAtOnce(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                        const BackwardWorkspace& work, cudaStream_t stream) {
  ReverseCall reverse = gradientsCall<ReverseCall>(call, plan, io, work);
  reverse.g = call.g;
  reverse.gatePerToken = call.decay == longscanDecayScalar;
  reverse.resets = call.resets;
  reverse.kept = work.stateImages;
  reverse.dg = plan.hasGradient ? io.dg : nullptr;
  reverse.fromZero = io.fromZero != 0;
  return launchReverse(reverse, stream);
}

/// The same, the states taken back from the last one.
cudaError_t retrace(const Call& call, const Plan& plan, const LongscanGatedLinearBackward& io,
                    const BackwardWorkspace& work, cudaStream_t stream) {
  RetraceCall retrace = gradientsCall<RetraceCall>(call, plan, io, work);
  retrace.states = io.states;
  retrace.lastStates = io.states + plan.statesSize();
  return launchRetrace(retrace, stream);
}

}  // namespace

cudaError_t backward(const Call& call, const LongscanGatedLinearBackward& io, cudaStream_t stream) {
  const Plan plan(call);
  const BackwardWorkspace work(call, plan, io.workspace);
  if (!io.prepared) LONGSCAN_TRY(prepareBackward(call, plan, work, io.dO, segmentsOf(plan), stream));
  LONGSCAN_TRY(summarizeStates(call, plan, io, work, stream));
  if (plan.retraces) return retrace(call, plan, io, work, stream);
  if (plan.atOnce) return sweepAtOnce(call, plan, io, work, stream);
  if (plan.diagonal) return differentiateDiagonalDecay(call, plan, io, work, stream);
  LONGSCAN_TRY(sweepBackward(call, plan, io, work, stream));
  return plan.hasGradient ? differentiateScalarDecay(call, plan, io, work, stream) : cudaSuccess;
}

cudaError_t summarizeBackward(const Call& call, const LongscanGatedLinearSummaryBackward& io,
                              cudaStream_t stream) {
  const Plan plan(call);
  const BackwardWorkspace work(call, plan, io.workspace);
  LONGSCAN_TRY(prepareBackward(call, plan, work, io.dO, Summarize::forSlices, stream));
  CombineCall fold = combineOf(call, plan, work.summaries, true);
  fold.outgoing = io.adjoint;
  fold.outgoingScale = adjointScale(call, plan);
  return launchCombine(fold, stream);
}

#undef LONGSCAN_TRY

}  // namespace longscan
