#include "../sweep/call.h"
#include "fold.h"

namespace longscan {

namespace {

cudaError_t summarizeBackward(const LongscanDeltaRule& call, const LongscanDeltaRuleSummaryBackward& io,
                              cudaStream_t stream) {
  const DeltaSegments segments(call, io.segments);
  const bool isOne = segments.cut.count == 1;
  DeltaSweepCall sweep = sweepOf(call, deltaPreparedChunks(call, io.kept));
  sweep.dO = bf16(io.dO);
  sweep.segmentChunks = static_cast<int>(segments.cut.tokens / tileTokens);
  sweep.numSegments = segments.cut.count;
  sweep.leaving = isOne ? io.adjoint : static_cast<float*>(io.leaving);
  const cudaError_t error = launchDeltaLeavingSweep(sweep, stream);
  if (error != cudaSuccess || isOne) return error;
  return launchDeltaLeave(foldOf(call, segments, sweep.leaving), nullptr, nullptr, io.adjoint, stream);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanDeltaRuleSummaryBackwardBytes(const LongscanDeltaRule* call) {
  if (longscanDeltaRuleSegmentsBytes(call) == 0) return 0;
  return sizeof(float) * deltaSegments(*call).count * call->B * call->H * call->V * call->K;
}

int longscanDeltaRuleSummarizeBackward(const LongscanDeltaRule* call,
                                       const LongscanDeltaRuleSummaryBackward* io, CUstream_st* stream) {
  if (longscanDeltaRuleSegmentsBytes(call) == 0) return cudaErrorInvalidValue;
  return summarizeBackward(*call, *io, stream);
}
