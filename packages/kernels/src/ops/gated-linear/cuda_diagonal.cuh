#pragma once

#include "cuda/mma.cuh"
#include "cuda_diagonal.h"
#include "cuda_pieces.cuh"

namespace longscan {

constexpr int diagonalThreads = 256;  // two warps for each sub-chunk of 16 tokens
constexpr int subChunk = 16;
constexpr float log2eDiagonal = 1.4426950408889634f;

__device__ inline float exp2Decay(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// f32 [64, KB] in shared memory; a pad of 8 spreads the rows of a fragment over the banks.
template <int KB>
struct FloatTile {
  static constexpr int pitch = KB + 8;
  static constexpr int bytes = tileTokens * pitch * 4;
  float* base;

  __device__ float& at(int row, int column) const { return base[row * pitch + column]; }
  __device__ float2& pairAt(int row, int column) const {
    return *reinterpret_cast<float2*>(base + row * pitch + column);
  }
};

/// Whether tokens i <= j of a chunk belong to one document.
__device__ inline bool sameDocument(uint64_t starts, int i, int j) {
  return i >= j || ((starts >> (i + 1)) & (~0ull >> (64 - (j - i)))) == 0;
}

/// One past the last token of the document that token i of a chunk belongs to.
__device__ inline int documentEnd(uint64_t starts, int i, int length) {
  const uint64_t later = i < 63 ? starts >> (i + 1) : 0;
  return later ? i + __ffsll(static_cast<long long>(later)) : length;
}

/// Starts to fill c with the gates of a chunk, KB channels from `channel` of `width`.
template <int KB>
__device__ void fillGates(FloatTile<KB> c, const float* from, int64_t pitch, int channel, int width,
                          int length) {
  for (int i = threadIdx.x; i < tileTokens * (KB / 4); i += diagonalThreads) {
    const int row = i / (KB / 4), column = i % (KB / 4) * 4;
    const bool valid = row < length && channel + column < width;
    copyAsync16(sharedAddress(&c.at(row, column)), valid ? from + row * pitch + channel + column : from,
                valid);
  }
}

/// Replaces gates by their sums in log2 from the start of the document or chunk up to and with each token.
template <int KB>
__device__ void sumGates(FloatTile<KB> c, uint64_t starts) {
  for (int column = threadIdx.x; column < KB; column += diagonalThreads) {
    float sum = 0.0f;
#pragma unroll 8
    for (int row = 0; row < tileTokens; row++) {
      sum = (starts >> row & 1 ? 0.0f : sum) + c.at(row, column) * log2eDiagonal;
      c.at(row, column) = sum;
    }
  }
}

/// Channels [column, column + count) of one row; count 1, or `column` even.
template <int count, int D>
__device__ void loadRow(float (&to)[count], Tile<D> tile, int row, int column) {
  const uint32_t address = tile.address(row, column / 8) + (column & 6) * 2;
  if constexpr (count == 1) {
    const uint32_t both = loadShared(address);
    to[0] = column & 1 ? highHalf(both) : lowHalf(both);
  } else {
#pragma unroll
    for (int i = 0; i < count; i += 2) {
      const uint32_t both = loadShared(address + 2 * i);
      to[i] = lowHalf(both);
      to[i + 1] = highHalf(both);
    }
  }
}

}  // namespace longscan
