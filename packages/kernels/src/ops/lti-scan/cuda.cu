#include "cuda.h"

#include "cuda/sum_parts.cuh"
#include "cuda_plan.h"
#include "cuda_sweep.h"

namespace longscan {

namespace {

using Call = LongscanLtiScan;

bool supported(const Call& call) {
  return call.B > 0 && call.T > 0 && call.T < INT32_MAX && call.C > 0 && call.C < (1 << 24) && call.N > 0 &&
         call.N <= 256 && (call.type == longscanElementBf16 || call.type == longscanElementF32) &&
         call.B * LtiPlan(call).channelBlocks < (1 << 24);
}

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

/// What the segments do to a state (or against time from `dy` to an adjoint), folded from `incoming`. A
/// single segment's effect is its sweep's, and is worked out only if nothing else will.
cudaError_t foldSegments(const Call& call, const LtiPlan& plan, const LtiWork& work, const void* dy,
                         bool wantEffects, LtiFold fold, cudaStream_t stream) {
  fold.backward = dy != nullptr;
  if (wantEffects || plan.numSegments > 1) {
    LtiSweep summary{};
    summary.backward = fold.backward;
    summary.from = dy ? dy : call.u;
    summary.leaving = work.effects;
    summary.reset = work.reset;
    LONGSCAN_TRY(launchLtiSweep(call, plan, summary, stream));
    fold.effects = work.effects;
    fold.reset = work.reset;
  }
  return launchLtiFold(call, plan, fold, stream);
}

cudaError_t forward(const Call& call, const LongscanLtiScanForward& io, cudaStream_t stream) {
  const LtiPlan plan(call);
  const LtiWork work(call, plan, call.workspace);
  const bool cut = plan.numSegments > 1;
  LtiFold fold{};
  fold.incoming = io.h0;
  fold.entering = io.states;
  fold.outgoing = cut ? io.ht : nullptr;
  LONGSCAN_TRY(foldSegments(call, plan, work, nullptr, false, fold, stream));
  LtiSweep sweep{};
  sweep.from = call.u;
  sweep.to = io.y;
  sweep.entering = io.states;
  sweep.leaving = cut ? nullptr : io.ht;
  return launchLtiSweep(call, plan, sweep, stream);
}

cudaError_t backward(const Call& call, const LongscanLtiScanBackward& io, cudaStream_t stream) {
  const LtiPlan plan(call);
  const LtiWork work(call, plan, call.workspace);
  const bool cut = plan.numSegments > 1;
  LtiFold fold{};
  fold.incoming = io.dht;
  fold.entering = work.entering;
  fold.outgoing = cut ? io.dh0 : nullptr;
  LONGSCAN_TRY(foldSegments(call, plan, work, io.dy, false, fold, stream));
  LtiSweep sweep{};
  sweep.backward = true;
  sweep.from = io.dy;
  sweep.to = io.du;
  sweep.entering = work.entering;
  sweep.leaving = cut ? nullptr : io.dh0;
  LONGSCAN_TRY(launchLtiSweep(call, plan, sweep, stream));
  LONGSCAN_TRY(
      launchLtiShares(call, plan, {io.dy, io.states, work.entering, work.shareLambda, work.shareW}, stream));
  SumPartsCall sum{work.shareLambda, call.B * plan.numSegments, 1, plan.stateSize, 1};
  LONGSCAN_TRY(launchSumParts<float>(sum, io.dLogLambda, stream));
  sum.parts = work.shareW;
  return launchSumParts<float>(sum, io.dw, stream);
}

cudaError_t summarize(const Call& call, const void* dy, float* state, cudaStream_t stream) {
  const LtiPlan plan(call);
  LtiFold fold{};
  fold.outgoing = state;
  return foldSegments(call, plan, LtiWork(call, plan, call.workspace), dy, true, fold, stream);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanLtiScanWorkspaceBytes(const LongscanLtiScan* call) {
  return supported(*call) ? LtiWork(*call, LtiPlan(*call), nullptr).parts.used() : 0;
}

size_t longscanLtiScanStatesBytes(const LongscanLtiScan* call) {
  if (!supported(*call)) return 0;
  const LtiPlan plan(*call);
  return sizeof(float) * call->B * plan.numSegments * plan.stateSize;
}

int longscanLtiScanForward(const LongscanLtiScan* call, const LongscanLtiScanForward* io,
                           CUstream_st* stream) {
  return supported(*call) ? forward(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanLtiScanBackward(const LongscanLtiScan* call, const LongscanLtiScanBackward* io,
                            CUstream_st* stream) {
  return supported(*call) ? backward(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanLtiScanSummarize(const LongscanLtiScan* call, float* state, float* factor, CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  const cudaError_t error = launchLtiFactor(*call, factor, stream);
  return error ? error : summarize(*call, nullptr, state, stream);
}

int longscanLtiScanAdjoint(const LongscanLtiScan* call, const void* dy, float* adjoint, CUstream_st* stream) {
  return supported(*call) ? summarize(*call, dy, adjoint, stream) : cudaErrorInvalidValue;
}

#undef LONGSCAN_TRY
