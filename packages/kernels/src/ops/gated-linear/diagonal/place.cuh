#pragma once

#include "diagonal.cuh"

namespace longscan {

/// The chunk of one head that a block works on. Blocks that run at a time have all heads of some chunks: they
/// read whole rows of memory.
struct ChunkPlace {
  int64_t b;
  int h;
  unsigned ofAllHeads;  // the chunk's number among those of all heads
  int64_t first;        // token
  int length;
  int64_t place, sharedPlace;  // of row 0 in [B, T, H, K], and in what heads share, [B, T, G, K]

  __device__ ChunkPlace(const DiagonalCall& call, unsigned number) {
    const auto numChunks = static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens);
    const unsigned heads = call.H, chunks = number / heads;
    const unsigned chunk = chunks % numChunks;
    h = static_cast<int>(number % heads);
    b = chunks / numChunks;
    ofAllHeads = (static_cast<unsigned>(b) * heads + h) * numChunks + chunk;
    first = static_cast<int64_t>(chunk) * tileTokens;
    length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));
    place = (b * call.T + first) * (call.H * call.K) + h * call.K;
    sharedPlace = (b * call.T + first) * (call.G * call.K) + h / (call.H / call.G) * call.K;
  }
  /// Bit i: a document starts at the chunk's token i. All lanes of a warp call it together.
  __device__ uint64_t starts(const DiagonalCall& call, int lane) const {
    return documentStarts(call.resets ? call.resets + b * call.T : nullptr, first, length, lane);
  }
};

/// Chunks of all heads.
__host__ __device__ inline unsigned headChunksOf(const DiagonalCall& call) {
  return static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens * call.B * call.H);
}

}  // namespace longscan
