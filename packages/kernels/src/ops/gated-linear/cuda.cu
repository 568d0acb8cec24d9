#include "cuda.h"

#include "chunkwise/calls.h"
#include "chunkwise/values.h"
#include "general/general.h"

namespace longscan {

namespace {

/// Whether the chunkwise kernels know the call, and the device has what they take.
bool chunkwise(const Call& call) {
  const bool diagonal = call.decay == longscanDecayDiagonal;
  return call.type == longscanBf16 && (call.bonus == nullptr || diagonal) &&
         (call.V <= mostContracted || diagonal) && sweepsFit(call.K, call.V);
}

bool joinedSupported(const Call& call) {
  return call.G == call.H && call.decay != longscanDecayDiagonal && !call.decayOnValues && chunkwise(call);
}

bool supported(const Call& call) {
  const auto headSize = [](int size, int most) { return size > 0 && size <= most && size % 8 == 0; };
  const int decaying = call.decayOnValues ? call.V : call.K, other = call.decayOnValues ? call.K : call.V;
  return call.B > 0 && call.T > 0 && call.H > 0 && call.G > 0 && call.H % call.G == 0 &&
         !(call.decayOnValues && (call.G != call.H || call.bonus)) && headSize(decaying, 256) &&
         headSize(other, 512) && call.decay >= 0 && call.decay <= longscanDecayDiagonal &&
         (call.type == longscanBf16 || call.type == longscanF32) && (!call.joined || joinedSupported(call));
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanGatedLinearStatesBytes(const LongscanGatedLinear* call) {
  if (!supported(*call)) return 0;
  if (call->decayOnValues) return valuesStatesBytes(*call);
  if (!chunkwise(*call)) return generalStatesBytes(*call);
  const Plan plan(*call);
  const int64_t last = plan.retraces ? plan.heads * plan.stateSize : 0;
  return sizeof(float) * (plan.statesSize() + last);
}

size_t longscanGatedLinearDecayedBytes(const LongscanGatedLinear* call) {
  if (!supported(*call) || call->decayOnValues || !chunkwise(*call)) return 0;
  WorkspaceParts parts(nullptr);
  Decayed::ofBoth(*call, Plan(*call), parts);
  return parts.used();
}

size_t longscanGatedLinearWorkspaceBytes(const LongscanGatedLinear* call) {
  if (!supported(*call)) return 0;
  if (call->decayOnValues) return valuesWorkspaceBytes(*call);
  return chunkwise(*call) ? ForwardWorkspace(*call, Plan(*call), nullptr).parts.used()
                          : generalWorkspaceBytes(*call);
}

size_t longscanGatedLinearBackwardWorkspaceBytes(const LongscanGatedLinear* call) {
  if (!supported(*call)) return 0;
  if (call->decayOnValues) return valuesBackwardWorkspaceBytes(*call);
  return chunkwise(*call) ? BackwardWorkspace(*call, Plan(*call), nullptr).parts.used()
                          : generalBackwardWorkspaceBytes(*call);
}

int longscanGatedLinearForward(const LongscanGatedLinear* call, const LongscanGatedLinearForward* io,
                               CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  if (call->decayOnValues) return valuesForward(*call, *io, stream);
  return chunkwise(*call) ? forward(*call, *io, stream) : generalForward(*call, *io, stream);
}

int longscanGatedLinearBackward(const LongscanGatedLinear* call, const LongscanGatedLinearBackward* io,
                                CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  if (call->decayOnValues) return valuesBackward(*call, *io, stream);
  return chunkwise(*call) ? backward(*call, *io, stream) : generalBackward(*call, *io, stream);
}

int longscanGatedLinearSummarize(const LongscanGatedLinear* call, const LongscanGatedLinearSummary* io,
                                 CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  if (call->decayOnValues) return valuesSummarize(*call, *io, stream);
  return chunkwise(*call) ? summarize(*call, *io, stream) : generalSummarize(*call, *io, stream);
}

int longscanGatedLinearSummarizeBackward(const LongscanGatedLinear* call,
                                         const LongscanGatedLinearSummaryBackward* io, CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  if (call->decayOnValues) return valuesSummarizeBackward(*call, *io, stream);
  return chunkwise(*call) ? summarizeBackward(*call, *io, stream)
                          : generalSummarizeBackward(*call, *io, stream);
}
