#pragma once

#include "cuda/mma.cuh"
#include "cuda/pieces.cuh"
#include "diagonal.h"

namespace longscan {

constexpr int diagonalThreads = 256;  // two warps for each sub-chunk of 16 tokens
constexpr int subChunk = 16;
constexpr int subChunks = tileTokens / subChunk;
constexpr float log2eDiagonal = 1.4426950408889634f;

__device__ inline float exp2Decay(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// f32 [64, KB] in shared memory; the pad spreads what a warp reads at once over the banks: 8 the rows and
/// pairs of columns of a fragment, 4 its pairs of rows and columns.
template <int KB, int pad = 8>
struct FloatTile {
  static constexpr int pitch = KB + pad;
  static constexpr int bytes = tileTokens * pitch * 4;
  float* base;

  __device__ float& at(int row, int column) const { return base[row * pitch + column]; }
  __device__ float2& pairAt(int row, int column) const {
    return *reinterpret_cast<float2*>(base + row * pitch + column);
  }
  /// Eight of a row, in two accesses.
  __device__ void loadEight(float (&to)[8], int row, int column) const {
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(base + row * pitch + column + i);
      to[i] = four.x;
      to[i + 1] = four.y;
      to[i + 2] = four.z;
      to[i + 3] = four.w;
    }
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

/// Whether what comes before a token of a chunk goes on in it.
__device__ inline bool goesOn(uint64_t starts, int token) {
  return token > 0 && (starts >> token & 1) == 0;
}

/// The sum of gates that lies between the start of a token's document or the chunk and its read, of sums as
/// `sumGates` leaves them: with a bonus a token reads before it decays.
template <bool bonus, int KB, int pad>
__device__ float readAt(FloatTile<KB, pad> c, uint64_t starts, int row, int column) {
  if (!bonus) return c.at(row, column);
  return goesOn(starts, row) ? c.at(row - 1, column) : 0.0f;
}
template <bool bonus, int KB, int pad>
__device__ float2 readPairAt(FloatTile<KB, pad> c, uint64_t starts, int row, int column) {
  if (!bonus) return c.pairAt(row, column);
  return goesOn(starts, row) ? c.pairAt(row - 1, column) : make_float2(0.0f, 0.0f);
}
template <bool bonus, int KB, int pad>
__device__ void loadEightOfRead(float (&to)[8], FloatTile<KB, pad> c, uint64_t starts, int row, int column) {
  const bool meets = !bonus || goesOn(starts, row);
  c.loadEight(to, bonus && meets ? row - 1 : row, column);
#pragma unroll
  for (int i = 0; i < 8; i++) to[i] = meets ? to[i] : 0.0f;
}

/// Starts to fill c with the gates of a chunk, KB channels from `channel` of `width`.
template <int threads, int KB, int pad>
__device__ void fillGates(FloatTile<KB, pad> c, const float* from, int pitch, int channel, int width,
                          int length) {
  constexpr int units = KB / 4, rowsAtOnce = threads / units;
  const int row0 = threadIdx.x / units, column = threadIdx.x % units * 4;
  const bool inside = channel + column < width;
  const float* source = from + static_cast<int64_t>(row0) * pitch + channel + column;
  const uint32_t to = sharedAddress(&c.at(row0, column));
#pragma unroll
  for (int row = 0; row < tileTokens; row += rowsAtOnce) {
    copyAsync16(to + row * c.pitch * 4, source, inside && row0 + row < length);
    source += static_cast<int64_t>(rowsAtOnce) * pitch;
  }
}

/// Replaces gates by their sums in log2 from the start of the document or chunk up to and with each token:
/// for each thread some rows of a channel, then with what comes before them. `totals`: room for as many
/// numbers as threads. `cut`: whether documents start in the chunk.
template <int threads, bool cut, int KB, int pad>
__device__ void sumGatesOf(FloatTile<KB, pad> c, uint64_t starts, float* totals) {
  constexpr int rows = tileTokens * KB / threads;
  constexpr uint64_t allRows = (1ull << rows) - 1;
  const int part = threadIdx.x / KB, row0 = part * rows, column = threadIdx.x % KB;
  const auto opened = static_cast<unsigned>(cut ? starts >> row0 & allRows : 0);
  float sums[rows], sum = 0.0f;
#pragma unroll
  for (int row = 0; row < rows; row++) {
    if (cut && (opened >> row & 1)) sum = 0.0f;
    sum += c.at(row0 + row, column) * log2eDiagonal;
    sums[row] = sum;
  }
  totals[threadIdx.x] = sum;
  __syncthreads();
  float before = 0.0f;
#pragma unroll
  for (int other = 0; other < threads / KB - 1; other++) {
    const float total = totals[other * KB + column];
    if (cut && (starts >> (other * rows) & allRows)) before = other < part ? 0.0f : before;
    before += other < part ? total : 0.0f;
  }
#pragma unroll
  for (int row = 0; row < rows; row++) {
    if (cut && (opened >> row & 1)) before = 0.0f;
    c.at(row0 + row, column) = sums[row] + before;
  }
}

/// The same of any chunk. Ends with a barrier.
template <int threads, int KB, int pad>
__device__ void sumGates(FloatTile<KB, pad> c, uint64_t starts, float* totals) {
  if (starts == 0)
    sumGatesOf<threads, false>(c, starts, totals);
  else
    sumGatesOf<threads, true>(c, starts, totals);
  __syncthreads();
}

/// Powers of two up to which keys are scaled up for products inside a sub-chunk.
constexpr float mostScaledUp = 96.0f;

/// Bit i: the products of token row0 + i inside its sub-chunk are to be taken pair by pair, for it decays too
/// much since the sub-chunk's start in one of KB channels, or a document starts inside. That depends on no
/// later gate. All lanes of a warp call it together.
template <int KB, int pad>
__device__ unsigned steepTokens(FloatTile<KB, pad> c, uint64_t starts, int row0, int lane) {
  if (starts >> row0 & 0xfffe) return 0xffff;
  const auto steep = [&](int row) {
    bool any = false;
#pragma unroll
    for (int channel = lane; channel < KB; channel += 32) {
      const float before = goesOn(starts, row0) ? c.at(row0 - 1, channel) : 0.0f;
      any = any || before - c.at(row, channel) > mostScaledUp;
    }
    return __any_sync(~0u, any);
  };
  if (!steep(row0 + subChunk - 1)) return 0;  // none decays more than the last
  unsigned mask = 0;
  for (int i = 0; i < subChunk; i++) mask |= static_cast<unsigned>(steep(row0 + i)) << i;
  return mask;
}

/// Channels `column`, which is even, and the next of one row.
template <int D>
__device__ float2 loadPair(Tile<D> tile, int row, int column) {
  const uint32_t both = loadShared(tile.address(row, column / 8) + (column & 6) * 2);
  return make_float2(lowHalf(both), highHalf(both));
}

}  // namespace longscan
