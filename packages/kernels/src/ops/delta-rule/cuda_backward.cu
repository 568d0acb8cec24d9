#include "cuda_backward.h"

#include "cuda_summary_fold.h"

namespace longscan {

bool deltaBackwardIsCut(const LongscanDeltaRule& call) {
  DeltaDevice device;
  if (!deltaSummarizes() || deltaDevice(device) != cudaSuccess) return false;
  const Segments cut = deltaSegments(call);
  if (cut.count == 1) return false;
  // In what a chunk takes the sweep, thirds of it: the gradients of one take a multiprocessor 17, beside a
  // sweep that is not cut on those that it leaves; and a segment's start, and its part in the fold.
  constexpr int64_t multiprocessors = 132, gradients = 17, unit = 3, segmentStart = 4 * unit, fold = unit;
  const int64_t heads = call.B * call.H, chunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t blocks = deltaBackwardBlocks(device, heads, call.K, call.V);
  const auto rounds = [](int64_t blocks) { return (blocks + multiprocessors - 1) / multiprocessors; };
  if (2 * blocks > multiprocessors) return false;
  const int64_t whole = std::max(unit * chunks, gradients * heads * chunks / (multiprocessors - blocks));
  const int64_t sweeps = rounds(blocks * cut.count) * (unit * cut.tokens / tileTokens + segmentStart);
  return 2 * sweeps + fold * cut.count + gradients * heads * chunks / multiprocessors < whole;
}

DeltaBackwardMemory::DeltaBackwardMemory(const LongscanDeltaRule& call, WorkspaceParts& arena) {
  if (!deltaBackwardIsCut(call)) return;
  const int64_t states = deltaSegments(call).count * call.B * call.H * call.V * call.K;
  adjoints = arena.take<float>(states);
  behind = arena.take<float>(states);
}

cudaError_t launchDeltaAdjoints(const LongscanDeltaRule& call, DeltaSweepCall sweep, const void* effects,
                                const DeltaBackwardMemory& memory, cudaStream_t stream) {
  if (memory.behind == nullptr || effects == nullptr) return launchDeltaBackwardSweep(sweep, stream);
  const DeltaSegments segments(call, effects);
  sweep.segmentChunks = static_cast<int>(segments.cut.tokens / tileTokens);
  sweep.numSegments = segments.cut.count;
  DeltaSweepCall own = sweep;
  own.leaving = memory.adjoints;
  own.firstSegment = 1;  // of the first one nothing is wanted
  own.finished = nullptr;
  cudaError_t error = launchDeltaBackwardSweep(own, stream);
  if (error == cudaSuccess)
    error = launchDeltaLeave(foldOf(call, segments, memory.adjoints), memory.behind, nullptr, stream);
  if (error != cudaSuccess) return error;
  sweep.behind = memory.behind;
  return launchDeltaBackwardSweep(sweep, stream);
}

}  // namespace longscan
