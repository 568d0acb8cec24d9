#include "cuda_summary_fold.h"
#include "cuda_sweep_call.h"

namespace longscan {

namespace {

/// The adjoint that leaves each segment through its own outputs; nothing of one segment.
struct Workspace {
  WorkspaceParts arena;
  float* adjoints = nullptr;

  Workspace(const LongscanDeltaRule& call, const DeltaSegments& segments, void* base) : arena(base) {
    if (segments.cut.count > 1)
      adjoints = arena.take<float>(segments.cut.count * call.B * call.H * call.V * call.K);
  }
};

cudaError_t summarizeBackward(const LongscanDeltaRule& call, const LongscanDeltaRuleSummaryBackward& io,
                              cudaStream_t stream) {
  const DeltaSegments segments(call, io.segments);
  const Workspace work(call, segments, io.workspace);
  const bool isOne = segments.cut.count == 1;
  DeltaSweepCall sweep = sweepOf(call, deltaPreparedChunks(call, io.kept));
  sweep.dO = bf16(io.dO);
  sweep.segmentChunks = static_cast<int>(segments.cut.tokens / tileTokens);
  sweep.numSegments = segments.cut.count;
  sweep.leaving = isOne ? io.adjoint : work.adjoints;
  const cudaError_t error = launchDeltaBackwardSweep(sweep, stream);
  if (error != cudaSuccess || isOne) return error;
  return launchDeltaLeave(foldOf(call, segments, work.adjoints), nullptr, io.adjoint, stream);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanDeltaRuleSummaryBackwardBytes(const LongscanDeltaRule* call) {
  if (longscanDeltaRuleSegmentsBytes(call) == 0) return 0;
  // Never none: that would be no support.
  return Workspace(*call, DeltaSegments(*call, nullptr), nullptr).arena.used() + 16;
}

int longscanDeltaRuleSummarizeBackward(const LongscanDeltaRule* call,
                                       const LongscanDeltaRuleSummaryBackward* io, CUstream_st* stream) {
  if (longscanDeltaRuleSegmentsBytes(call) == 0) return cudaErrorInvalidValue;
  return summarizeBackward(*call, *io, stream);
}
