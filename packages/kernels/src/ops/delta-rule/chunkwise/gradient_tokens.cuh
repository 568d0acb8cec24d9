#pragma once

#include "inverse.cuh"
#include "lane.cuh"
#include "prepare.h"

// What the tokens of a piece are to each other, in the gradients: a warp has 16 rows of each product, from
// `row0` on.

namespace longscan {

/// To the warp's own copy in shared memory, of each token: the sum of log decays up to and with it, in base
/// 2, and beta. `gates` and `beta` may be null.
__device__ inline void weighTokens(float2* facts, const float* gates, const float* beta, int lane) {
  float2 sums = make_float2(0.0f, 0.0f), own = make_float2(1.0f, 1.0f);
  if (gates != nullptr) {
    sumLogGates(gates, reinterpret_cast<float*>(facts), lane);
    sums = facts[lane];
    __syncwarp();
  }
  if (beta != nullptr) own = reinterpret_cast<const float2*>(beta)[lane];
  reinterpret_cast<float4*>(facts)[lane] = make_float4(sums.x, usableBeta(own.x), sums.y, usableBeta(own.y));
  __syncwarp();
}

/// The sum of log decays up to and with a row, or before it.
__device__ inline float sumUpTo(const float2* facts, int row, bool before) {
  if (!before) return facts[row].x;
  return row > 0 ? facts[row - 1].x : 0.0f;
}

/// Rows of `factor` beta_j decay_ij times sums, j <= i, the rest zeros, as operands to a tile. `before`: rows
/// are not decayed by their own gate.
template <bool decays>
__device__ inline void storeProducts(const Sums& sum, Tile<64> to, const float2* facts, float factor,
                                     bool before, int row0, const DeltaLane& at) {
  const float rowSums[2] = {sumUpTo(facts, row0 + at.group, before),
                            sumUpTo(facts, row0 + at.group + 8, before)};
#pragma unroll
  for (int k = 0; k < 4; k++) {
    MmaA rows{};
    if (16 * k <= row0) {
#pragma unroll
      for (int j = 0; j < 2; j++) {
        const float4 columns = reinterpret_cast<const float4*>(facts)[8 * k + 4 * j + (at.lane & 3)];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float left = factor * columns.y, right = factor * columns.w;
          if (decays) {
            left *= exp2Fast(rowSums[i] - columns.x);
            right *= exp2Fast(rowSums[i] - columns.z);
          }
          const float* const from = &sum[2 * k + j][2 * i];
          rows.x[2 * j + i] = pack(left * from[0], right * from[1]);
        }
      }
      // By bits: above the diagonal a decay may be infinite.
      if (16 * k == row0) keepLower(rows, at.lane);
    }
    storeOperandA(to, row0, k, rows, at.lane);
  }
}

/// The diagonal's sums to shared memory, by row; in their place zeros.
__device__ inline void takeDiagonal(Sums& sum, float* to, int row0, const DeltaLane& at) {
#pragma unroll
  for (int n = 0; n < 8; n++)
#pragma unroll
    for (int j = 0; j < 2; j++)
      if (16 * (n / 2) == row0 && at.pairOf + j == at.group) {
        to[row0 + 8 * (n % 2) + at.group] = sum[n][2 * (n % 2) + j];
        sum[n][2 * (n % 2) + j] = 0.0f;
      }
}

/// A thread's share of the dot product of a row's gradient with its token's vector; of two rows that it has,
/// the i-th.
__device__ inline float dotRow(const Sums& gradient, Tile<64> tile, int row0, int i, const DeltaLane& at) {
  float sum = 0.0f;
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const uint32_t both = loadShared(tile.address(row0 + 8 * i + at.group, n) + 2 * at.pairOf);
    sum += gradient[n][2 * i] * lowHalf(both) + gradient[n][2 * i + 1] * highHalf(both);
  }
  return sum;
}

/// The same of two gradients.
__device__ inline float2 dotRows(const Sums& first, const Sums& second, Tile<64> tile, int row0, int i,
                                 const DeltaLane& at) {
  float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const uint32_t both = loadShared(tile.address(row0 + 8 * i + at.group, n) + 2 * at.pairOf);
    sum.x += first[n][2 * i] * lowHalf(both) + first[n][2 * i + 1] * highHalf(both);
    sum.y += second[n][2 * i] * lowHalf(both) + second[n][2 * i + 1] * highHalf(both);
  }
  return sum;
}

}  // namespace longscan
