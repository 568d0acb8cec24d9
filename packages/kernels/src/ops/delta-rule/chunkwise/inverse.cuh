#pragma once

#include "cuda/warpgroup.cuh"
#include "split.cuh"

// The inverse of a lower triangle of 64 x 64 with ones on its diagonal, by four warps. With D the inverses of
// its 16 x 16 blocks on the diagonal, and those alone by substitution in f32,
//
//     (I + A)^-1 = (I - E)^-1 D       E = -D A below the diagonal blocks
//
// where a warp has the rows of E of one block, and then the columns of the inverse of one block: as X^T, so
// that what one product leaves in registers is the first operand of the next.

namespace longscan {

/// Sums of a 16 x 16 block as two accumulators side by side.
using BlockSums = float[2][4];

/// Columns [16 step, 16 step + 16) of 16 rows of sums, times `sign`, as a first operand.
template <typename Rows>
__device__ inline SplitA splitA(const Rows& sum, int step, float sign = 1.0f) {
  SplitA a;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float* const from = &sum[2 * step + (i >> 1)][2 * (i & 1)];
    a.set(i, sign * from[0], sign * from[1]);
  }
  return a;
}

/// [64, 64] in two bf16 terms, in shared memory. Places are those of 16 x 16 blocks.
struct SplitSquare {
  static constexpr int bytes = 2 * Tile<64>::bytes;
  Tile<64> high, low;

  __device__ explicit SplitSquare(uint32_t base) : high{base}, low{base + Tile<64>::bytes} {}

  __device__ void store(int row, int column, const SplitA& a, int lane) const {
    storeOperandA(high, 16 * row, column, a.high, lane);
    storeOperandA(low, 16 * row, column, a.low, lane);
  }
  __device__ SplitA load(int row, int column, int lane) const {
    return {loadA(high, 16 * row, 16 * column, lane), loadA(low, 16 * row, 16 * column, lane)};
  }
  /// A[m, k] = square[16 row + k][16 column + m].
  __device__ SplitA loadTransposed(int row, int column, int lane) const {
    return {loadATransposed(high, 16 * row, 16 * column, lane),
            loadATransposed(low, 16 * row, 16 * column, lane)};
  }
};

/// A 16 x 16 block of A on the diagonal in f32, in shared memory; what is not below the diagonal counts
/// nothing.
struct DiagonalBlock {
  static constexpr int bytes = 16 * 16 * 4;
  float* base;

  /// Of 16 rows of sums, the columns [16 step, 16 step + 16).
  template <typename Rows>
  __device__ void store(const Rows& sum, int step, int lane) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = (lane >> 2) + (i & 1) * 8, column = 2 * (lane & 3) + (i >> 1) * 8;
      const float* const from = &sum[2 * step + (i >> 1)][2 * (i & 1)];
      *reinterpret_cast<float2*>(base + 16 * row + column) = make_float2(from[0], from[1]);
    }
  }

  /// A column of (I + A)^-1, by substitution.
  __device__ void invert(float (&x)[16], int column) const {
#pragma unroll
    for (int i = 0; i < 16; i++) {
      // Four sums, since each addition waits for the one before.
      float sums[4] = {i == column ? 1.0f : 0.0f};
#pragma unroll
      for (int k = 0; k < i; k += 4) {
        const float4 row = *reinterpret_cast<const float4*>(base + 16 * i + k);
        sums[0] -= row.x * x[k];
        if (k + 1 < i) sums[1] -= row.y * x[k + 1];
        if (k + 2 < i) sums[2] -= row.z * x[k + 2];
        if (k + 3 < i) sums[3] -= row.w * x[k + 3];
      }
      x[i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
  }
};

/// Of a block on the diagonal, what lies above it, or below it, becomes zero.
__device__ inline void keepLower(MmaA& a, int lane) {
  const int row = lane >> 2, column = 2 * (lane & 3);
  const uint32_t kept = (column <= row ? 0xffffu : 0) | (column + 1 <= row ? 0xffff0000u : 0);
  a = {{a.x[0] & kept, a.x[1], 0, a.x[3] & kept}};
}
__device__ inline void keepUpper(MmaA& a, int lane) {
  const int row = lane >> 2, column = 2 * (lane & 3);
  const uint32_t kept = (column >= row ? 0xffffu : 0) | (column + 1 >= row ? 0xffff0000u : 0);
  a = {{a.x[0] & kept, 0, a.x[2], a.x[3] & kept}};
}

/// sum += a b of three of the four pairs of terms: as good as f32 but for the last 7 of 24 bits.
__device__ inline void multiplySplit(BlockSums& sum, const SplitA& a, const MmaB2& high, const MmaB2& low) {
  mma(sum[0], sum[1], a.low, high);
  mma(sum[0], sum[1], a.high, low);
  mma(sum[0], sum[1], a.high, high);
}

/// What one of four warps does for the inverse.
struct UnitLower {
  SplitSquare square;
  DiagonalBlock diagonal;
  int own, lane;  // which of four blocks the warp has

  /// Rows [16 own, 16 own + 16) of A; what is not below the diagonal counts nothing.
  __device__ void store(const Sums& rows) const {
#pragma unroll
    for (int step = 0; step < 4; step++) {
      if (step < own) square.store(own, step, splitA(rows, step), lane);
      if (step == own) diagonal.store(rows, step, lane);
    }
    __syncwarp();
  }

  /// take(i, X) for i = 0 .. 3 - own: block (own + i, own) of (I + A)^-1, transposed, as first operand. What
  /// is above the square's diagonal, nobody reads. Four warps together.
  template <typename Take>
  __device__ void invert(int barrier, Take&& take) const {
    invertDiagonal();
    makeRows();
    joinBarrier(barrier, 128);
    BlockSums sums[3] = {};
    SplitA x = square.load(own, own, lane);
    // Numbers that are none spread beyond the diagonal, too.
    keepUpper(x.high, lane);
    keepUpper(x.low, lane);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (own + i >= 4) continue;
      if (i > 0) x = splitA(sums[i - 1], 0);
#pragma unroll
      for (int later = i + 1; later < 4; later++)
        if (own + later < 4)
          multiplySplit(sums[later - 1], x,
                        loadBTransposed(square.high, 16 * (own + later), 16 * (own + i), lane),
                        loadBTransposed(square.low, 16 * (own + later), 16 * (own + i), lane));
      take(i, x);
    }
  }

 private:
  /// D^T in the place of the diagonal block; half of the lanes have the high terms, half the low ones.
  __device__ void invertDiagonal() const {
    const int column = lane & 15;
    float x[16];
    diagonal.invert(x, column);
    uint32_t terms[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const uint32_t high = pack(x[2 * i], x[2 * i + 1]);
      terms[i] = lane < 16 ? high : pack(x[2 * i] - lowHalf(high), x[2 * i + 1] - highHalf(high));
    }
    const Tile<64> to = lane < 16 ? square.high : square.low;
#pragma unroll
    for (int i = 0; i < 2; i++)
      storeShared16(to.address(16 * own + column, 2 * own + i),
                    make_uint4(terms[4 * i], terms[4 * i + 1], terms[4 * i + 2], terms[4 * i + 3]));
    __syncwarp();
  }

  /// E in the place of A.
  __device__ void makeRows() const {
    const SplitA d = square.loadTransposed(own, own, lane);
#pragma unroll
    for (int step = 0; step < 3; step++) {
      if (step >= own) continue;
      BlockSums sum = {};
      multiplySplit(sum, d, loadB(square.high, 16 * own, 16 * step, lane),
                    loadB(square.low, 16 * own, 16 * step, lane));
      square.store(own, step, splitA(sum, 0, -1.0f), lane);
    }
  }
};

}  // namespace longscan
