#pragma once

#include "cuda/warpgroup.cuh"
#include "cuda_split.cuh"

namespace longscan {

/// f32 [64, 64] in shared memory; the pad spreads the rows of a fragment over the banks.
struct FloatSquare {
  static constexpr int pitch = 68;
  static constexpr int bytes = 64 * pitch * 4;
  float* base;

  __device__ float& at(int row, int column) const { return base[row * pitch + column]; }
  __device__ float2& pairAt(int row, int column) const {
    return *reinterpret_cast<float2*>(base + row * pitch + column);
  }
};

/// Sums of a 16 x 16 block as two accumulators side by side.
using BlockSums = float[2][4];

struct SplitB {
  MmaB2 high, low;

  __device__ void set(int i, float first, float second) {
    high.x[i] = pack(first, second);
    low.x[i] = pack(first - lowHalf(high.x[i]), second - highHalf(high.x[i]));
  }
};

__device__ inline SplitA splitA(FloatSquare from, int row, int column, int lane) {
  SplitA a;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 pair = from.pairAt(row + (lane >> 2) + (i & 1) * 8, column + 2 * (lane & 3) + (i >> 1) * 8);
    a.set(i, pair.x, pair.y);
  }
  return a;
}

__device__ inline SplitA splitSums(const BlockSums& sum, float sign) {
  SplitA a;
#pragma unroll
  for (int i = 0; i < 4; i++) a.set(i, sign * sum[i >> 1][2 * (i & 1)], sign * sum[i >> 1][2 * (i & 1) + 1]);
  return a;
}

/// B[k, n] = from[row + k][column + n]
__device__ inline SplitB splitB(FloatSquare from, int row, int column, int lane) {
  SplitB b;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int k = row + 2 * (lane & 3) + (i & 1) * 8, n = column + (lane >> 2) + (i >> 1) * 8;
    b.set(i, from.at(k, n), from.at(k + 1, n));
  }
  return b;
}

/// The product of three of the four pairs: as good as f32 but for the last 7 of 24 bits.
__device__ inline void mmaSplit(BlockSums& sum, const SplitA& a, const SplitB& b) {
  mma(sum[0], sum[1], a.low, b.high);
  mma(sum[0], sum[1], a.high, b.low);
  mma(sum[0], sum[1], a.high, b.high);
}

__device__ inline void storeBlock(FloatSquare to, int row, int column, const BlockSums& sum, int lane) {
#pragma unroll
  for (int i = 0; i < 4; i++)
    to.pairAt(row + (lane >> 2) + (i & 1) * 8, column + 2 * (lane & 3) + (i >> 1) * 8) =
        make_float2(sum[i >> 1][2 * (i & 1)], sum[i >> 1][2 * (i & 1) + 1]);
}

/// The inverse of I + A for one 16 x 16 block on the diagonal, A strictly lower, in place, by substitution: a
/// lane has one column. All lanes of a warp take part, in two equal halves.
__device__ inline void invertDiagonalBlock(FloatSquare a, int first, int lane) {
  const int column = lane & 15;
  float x[16];
#pragma unroll
  for (int i = 0; i < 16; i++) {
    // Four sums, since each addition waits for the one before.
    float sums[4] = {i == column ? 1.0f : 0.0f};
#pragma unroll
    for (int k = 0; k < i; k += 4) {
      const float4 row = *reinterpret_cast<const float4*>(&a.at(first + i, first + k));
      sums[0] -= row.x * x[k];
      if (k + 1 < i) sums[1] -= row.y * x[k + 1];
      if (k + 2 < i) sums[2] -= row.z * x[k + 2];
      if (k + 3 < i) sums[3] -= row.w * x[k + 3];
    }
    x[i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 16; i++) a.at(first + i, first + column) = x[i];
}

/// Of the four warps that invert, where a block has four only.
constexpr int inverseBarrier = 1;

/// Replaces the strictly lower A by (I + A)^-1, whose upper half is left undefined but within the diagonal
/// blocks of
/// 16. Four warps together; they come and go through a barrier of their own.
///
/// Blocks of 16, then of 32, by [X1 0; X21 X2] with X21 = -X2 A21 X1.
__device__ inline void invertUnitLower(FloatSquare a, int warp, int lane, int barrier = inverseBarrier) {
  invertDiagonalBlock(a, 16 * warp, lane);
  joinBarrier(barrier, 128);
  if (warp < 2) {
    const int first = 32 * warp;
    BlockSums left = {}, result = {};
    mmaSplit(left, splitA(a, first + 16, first + 16, lane), splitB(a, first + 16, first, lane));
    mmaSplit(result, splitSums(left, -1.0f), splitB(a, first, first, lane));
    __syncwarp();
    storeBlock(a, first + 16, first, result, lane);
  }
  joinBarrier(barrier, 128);
  const int row = warp / 2, column = warp % 2;
  BlockSums result = {};
#pragma unroll
  for (int middle = 0; middle < 2; middle++) {
    if (middle < column) continue;
    BlockSums left = {};
#pragma unroll
    for (int k = 0; k < 2; k++)
      if (k <= row)
        mmaSplit(left, splitA(a, 32 + 16 * row, 32 + 16 * k, lane),
                 splitB(a, 32 + 16 * k, 16 * middle, lane));
    mmaSplit(result, splitSums(left, -1.0f), splitB(a, 16 * middle, 16 * column, lane));
  }
  joinBarrier(barrier, 128);
  storeBlock(a, 32 + 16 * row, 16 * column, result, lane);
  joinBarrier(barrier, 128);
}

}  // namespace longscan
