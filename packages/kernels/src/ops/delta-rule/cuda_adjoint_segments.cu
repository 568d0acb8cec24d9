#include "cuda_adjoint_segments.h"

#include <algorithm>

#include "cuda_adjoint_fold.h"

namespace longscan {

Segments deltaAdjointSegments(int64_t heads, int64_t T, int K, int V) {
  // Of Hopper: a block fills one of its multiprocessors.
  constexpr int64_t multiprocessors = 132, leastTokens = 16 * tileTokens, leastSegments = 4;
  const int width = K <= 128 ? 64 : 32;
  // Of the first segment nothing is wanted but its own sweep.
  const int64_t fit = 1 + multiprocessors / (heads * (sweepTiles(V, width) + sweepTiles(K, width)));
  const int64_t wanted = std::min(fit, T / leastTokens);
  return Segments::about(T, wanted >= leastSegments ? wanted : 1, tileTokens);
}

cudaError_t launchDeltaAdjoints(const DeltaSweepCall& sweep, const DeltaAdjointMemory& memory,
                                cudaStream_t stream) {
  const Segments cut = deltaAdjointSegments(sweep.B * sweep.H, sweep.T, sweep.K, sweep.V);
  if (cut.count == 1) return launchDeltaBackwardSweep(sweep, stream);
  DeltaSweepCall effects = sweep, whole = sweep;
  for (DeltaSweepCall* call : {&effects, &whole}) {
    call->segmentChunks = static_cast<int>(cut.tokens / tileTokens);
    call->numSegments = cut.count;
  }
  effects.firstSegment = 1;
  effects.dht = nullptr;
  effects.adjoints = nullptr;
  effects.dv = nullptr;
  effects.finished = nullptr;
  const int numMaps = sweep.dht == nullptr ? cut.count - 1 : cut.count;
  effects.effects = {memory.adjoints, memory.maps, numMaps, memory.starts};
  cudaError_t error = launchDeltaBackwardSweep(effects, stream);
  if (error != cudaSuccess) return error;
  error = launchDeltaAdjointFold({sweep.B, sweep.H, sweep.K, sweep.V, 1, cut.count, sweep.dht,
                                  memory.adjoints, memory.maps, false, memory.starts, memory.behind, nullptr},
                                 stream);
  if (error != cudaSuccess) return error;
  whole.dht = memory.behind;
  return launchDeltaBackwardSweep(whole, stream);
}

}  // namespace longscan
