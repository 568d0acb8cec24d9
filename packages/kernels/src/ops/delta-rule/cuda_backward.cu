#include "cuda_backward.h"

#include <algorithm>
#include <cmath>

#include "cuda_summary_fold.h"

namespace longscan {

namespace {

/// Whether the segments' two sweeps, or one if it is known what leaves them, and the gradients after them
/// take less time than one sweep with the gradients beside it.
bool isCut(const LongscanDeltaRule& call, bool isLeavingKnown) {
  DeltaDevice device;
  if (!deltaSummarizes() || deltaDevice(device) != cudaSuccess) return false;
  const Segments cut = deltaSegments(call);
  if (cut.count == 1) return false;
  // In what a chunk takes a sweep alone (one H200, K = V = 128): what it takes when no multiprocessor is
  // idle, a segment's beginning, its part in the fold; the gradients of a chunk take one multiprocessor so
  // long, and a sweep beside them longer by so much of their time.
  constexpr double multiprocessors = 132, busy = 1.2, begin = 4, fold = 1, gradient = 6.5, beside = 0.45;
  const auto heads = static_cast<double>(call.B * call.H);
  const auto chunks = static_cast<double>((call.T + tileTokens - 1) / tileTokens);
  const auto blocks = static_cast<double>(deltaBackwardBlocks(device, call.B * call.H, call.K, call.V));
  const double rounds = std::ceil(blocks / multiprocessors);
  const double gradients = gradient * heads * chunks / multiprocessors;
  const double left = gradients - chunks * std::max(0.0, 1 - blocks / multiprocessors);
  const double whole = rounds * chunks + std::max(beside * gradients, left);
  const double sweep = std::ceil(blocks * cut.count / multiprocessors) *
                       (busy * static_cast<double>(cut.tokens / tileTokens) + begin);
  return (isLeavingKnown ? 1 : 2) * sweep + fold * cut.count + gradients < whole;
}

}  // namespace

DeltaBackwardMemory::DeltaBackwardMemory(const LongscanDeltaRule& call, WorkspaceParts& arena) {
  if (!isCut(call, true)) return;
  const int64_t states = deltaSegments(call).count * call.B * call.H * call.V * call.K;
  behind = arena.take<float>(states);
  if (isCut(call, false)) leaving = arena.take<float>(states);
}

cudaError_t launchDeltaAdjoints(const LongscanDeltaRule& call, DeltaSweepCall sweep, const void* effects,
                                const void* leaving, const DeltaBackwardMemory& memory, cudaStream_t stream) {
  if (effects == nullptr || !isCut(call, leaving != nullptr)) return launchDeltaBackwardSweep(sweep, stream);
  const DeltaSegments segments(call, effects);
  sweep.segmentChunks = static_cast<int>(segments.cut.tokens / tileTokens);
  sweep.numSegments = segments.cut.count;
  cudaError_t error = cudaSuccess;
  if (leaving == nullptr) {
    DeltaSweepCall own = sweep;
    own.leaving = memory.leaving;
    own.dht = nullptr;
    own.firstSegment = 1;  // of the first one nothing is wanted
    own.finished = nullptr;
    error = launchDeltaLeavingSweep(own, stream);
    leaving = memory.leaving;
  }
  if (error == cudaSuccess)
    error = launchDeltaLeave(foldOf(call, segments, static_cast<const float*>(leaving)), sweep.dht,
                             memory.behind, nullptr, stream);
  if (error != cudaSuccess) return error;
  sweep.behind = memory.behind;
  return launchDeltaBackwardSweep(sweep, stream);
}

}  // namespace longscan
