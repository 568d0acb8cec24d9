#pragma once

#include "cuda/warpgroup.cuh"
#include "cuda_diagonal_inside.cuh"
#include "cuda_sweep.h"

// A block of threads of the gradient of a diagonal decay: where it works, and what it reads.

namespace longscan {

/// Shared memory. When the values have been read, in their place for each warpgroup what its products inside
/// the chunk read, then what it hands to the decay's gradient; and dA.
struct GradientLayout {
  static constexpr int tile = Tile<64>::bytes;
  static constexpr int gates = 2 * tile;  // behind Q and K
  static constexpr int totals = gates + Gates::bytes;
  static constexpr int behind = totals + 4 * subChunks * KB;
  static constexpr int ends = behind + 4 * 4 * KB;
  static constexpr int values = ends + 4 * 8 * KB;  // for each stage 64 channels of dO and v, of S and D
  static constexpr int stage = 4 * tile;
  static constexpr int exchanged = values, scores = exchanged + 2 * FloatTile<64>::bytes;
  static_assert(values % 1024 == 0 && FloatTile<64>::bytes % 1024 == 0, "tiles are aligned to 1024 bytes");
  static_assert(FloatTile<64>::bytes >= 2 * tile, "operands in two terms fit where gradients go later");

  static constexpr int bytes(int stages) {
    const int after = scores + FloatTile<64>::bytes, before = values + stages * stage;
    return after > before ? after : before;
  }
};

/// A chunk of one head and KB of its key channels. Blocks that run at a time have all heads of some chunks:
/// they read whole rows of memory.
struct Block {
  int64_t chunk, b, h, first;
  int keyBlock, length;
  int64_t imageOf;  // the chunk's number among those of all heads

  __device__ explicit Block(const DiagonalCall& call) {
    const int tiles = (call.K + KB - 1) / KB;
    const int64_t numChunks = (call.T + tileTokens - 1) / tileTokens;
    int64_t number = blockIdx.x;
    keyBlock = static_cast<int>(number % tiles);
    number /= tiles;
    h = number % call.H;
    number /= call.H;
    chunk = number % numChunks;
    b = number / numChunks;
    imageOf = (b * call.H + h) * numChunks + chunk;
    first = chunk * tileTokens;
    length = static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first));
  }
  __device__ int channel() const { return keyBlock * KB; }
  /// Where row 0 of [B, T, H, K] has the block's first channel, of [B, T, G, K] the head's, of [B, T, H, V]
  /// too.
  __device__ int64_t place(const DiagonalCall& call) const {
    return ((b * call.T + first) * call.H + h) * call.K + channel();
  }
  __device__ int64_t sharedPlace(const DiagonalCall& call) const {
    return ((b * call.T + first) * call.G + h / (call.H / call.G)) * call.K;
  }
  __device__ int64_t valuePlace(const DiagonalCall& call) const {
    return ((b * call.T + first) * call.H + h) * call.V;
  }
};

/// 64 x 64 numbers as they lie in an image.
__device__ inline void fillImage(uint32_t to, const unsigned char* from) {
#pragma unroll
  for (int i = 0; i < Tile<64>::bytes; i += 16 * diagonalThreads)
    copyAsync16(to + i + 16 * threadIdx.x, from + i + 16 * threadIdx.x, true);
}

/// A warpgroup's sums: rows of tokens, 64 key channels.
struct GradientPlace {
  int lane, warp, row0, group, pairOf;
  bool ofQuery;

  __device__ GradientPlace()
      : lane(threadIdx.x & 31),
        warp(threadIdx.x >> 5 & 3),
        row0(subChunk * warp),
        group(lane >> 2),
        pairOf(2 * (lane & 3)),
        ofQuery(warpgroupNumber() == 0) {}
  __device__ int row(int h) const { return row0 + group + 8 * h; }
};

}  // namespace longscan
