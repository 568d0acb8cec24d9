#pragma once

#include "cuda/mma.cuh"
#include "cuda_pieces.cuh"
#include "cuda_sweep.h"

// The parts of a sweep over one chunk. A block of four warps holds P^T, [DO free channels, DC contracted
// channels], in its accumulators: a warp has MT tiles of 16 free channels, all contracted ones.

namespace longscan {

constexpr int sweepThreads = 128;
constexpr float log2e = 1.4426950408889634f;

__device__ inline float exp2Approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// 16 bytes, or zeros. Compilers move a plain load down to its first use, where everything would wait for it.
__device__ inline uint4 loadEarly(const void* from, bool exists) {
  uint4 value = make_uint4(0, 0, 0, 0);
  asm volatile(
      "{ .reg .pred exists; setp.ne.s32 exists, %5, 0; @exists ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4]; }"
      : "+r"(value.x), "+r"(value.y), "+r"(value.z), "+r"(value.w)
      : "l"(from), "r"(static_cast<int>(exists)));
  return value;
}

/// Where a thread's part of a 16 x 8 accumulator lies.
struct Lane {
  int lane, warp;
  int group;   // row, and row + 8
  int pairOf;  // column, and column + 1

  __device__ Lane()
      : lane(threadIdx.x & 31), warp(threadIdx.x >> 5), group(lane >> 2), pairOf(2 * (lane & 3)) {}
};

/// P^T: rows 16 m + group (+ 8) of the warp's channels, columns 8 n + pairOf + {0, 1}.
template <int DC, int DO>
struct SweepState {
  static constexpr int MT = DO / 64, NT = DC / 8;
  /// 16-byte units of the state in bf16, for each thread.
  static constexpr int keptUnits = MT * NT / 2;
  float P[MT][NT][4];

  /// visit(element, row of the warp's channels, column)
  template <typename Visit>
  __device__ void each(const Lane& at, Visit&& visit) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int n = 0; n < NT; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          visit(P[m][n][i], 16 * m + at.group + (i >> 1) * 8, 8 * n + at.pairOf + (i & 1));
  }

  __device__ void clear() {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int n = 0; n < NT; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) P[m][n][i] = 0.0f;
  }

  /// P, rounded to bf16, as the second operand of a product over contracted channels [16 k, 16 k + 16).
  __device__ MmaB2 operand(int m, int k) const {
    return {{pack(P[m][2 * k][0], P[m][2 * k][1]), pack(P[m][2 * k + 1][0], P[m][2 * k + 1][1]),
             pack(P[m][2 * k][2], P[m][2 * k][3]), pack(P[m][2 * k + 1][2], P[m][2 * k + 1][3])}};
  }

  __device__ void keep(uint4* to) const {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int k = 0; k < NT / 2; k++) {
        const MmaB2 both = operand(m, k);
        to[(m * NT / 2 + k) * sweepThreads] = make_uint4(both.x[0], both.x[1], both.x[2], both.x[3]);
      }
  }

  /// The product with a kept state, element by element, summed over columns: to[row] of the warp's channels.
  __device__ void multiplyKept(const uint4* from, float* to, int rows, const Lane& at) const {
#pragma unroll
    for (int m = 0; m < MT; m++) {
      float upper = 0.0f, lower = 0.0f;
#pragma unroll
      for (int k = 0; k < NT / 2; k++) {
        const uint4 other = from[(m * NT / 2 + k) * sweepThreads];
        const float *left = P[m][2 * k], *right = P[m][2 * k + 1];
        upper += left[0] * lowHalf(other.x) + left[1] * highHalf(other.x);
        upper += right[0] * lowHalf(other.y) + right[1] * highHalf(other.y);
        lower += left[2] * lowHalf(other.z) + left[3] * highHalf(other.z);
        lower += right[2] * lowHalf(other.w) + right[3] * highHalf(other.w);
      }
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) {
        upper += __shfl_xor_sync(~0u, upper, distance);
        lower += __shfl_xor_sync(~0u, lower, distance);
      }
      const int row = 16 * m + at.group;
      if (at.pairOf == 0 && row < rows) to[row] = upper;
      if (at.pairOf == 0 && row + 8 < rows) to[row + 8] = lower;
    }
  }
};

/// Log2 decays of a chunk's rows in the sweep's order: `sums`[64] up to each row (with time its own included,
/// against time not), and their total. Every warp has a copy of its own.
struct RowDecays {
  const float* sums;
  float total;
  bool any;

  __device__ float upTo(int row) const { return any ? exp2Approx(sums[row]) : 1.0f; }
  __device__ float between(int row, int earlier) const {
    return any ? exp2Approx(sums[row] - sums[earlier]) : 1.0f;
  }
  __device__ float after(int row) const { return exp2Approx(total - sums[row]); }
};

/// `gates`: natural logarithms, 64; may be `sums`.
__device__ inline RowDecays sumLogDecays(const float* gates, float* sums, bool backward, int lane) {
  const float2 own = reinterpret_cast<const float2*>(gates)[lane];
  const float first = own.x * log2e, second = own.y * log2e;
  float upTo = first + second;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const float earlier = __shfl_up_sync(~0u, upTo, distance);
    if (lane >= distance) upTo += earlier;
  }
  const float before = __shfl_up_sync(~0u, upTo, 1);
  const float base = lane == 0 ? 0.0f : before;
  __syncwarp();
  reinterpret_cast<float2*>(sums)[lane] =
      backward ? make_float2(base, base + first) : make_float2(base + first, upTo);
  __syncwarp();
  return {sums, __shfl_sync(~0u, upTo, 31), true};
}

/// sum[i] += 16 x 16 products of rows `row[i]` of X and `column[i]` of Y.
template <int count, int DC>
__device__ void multiplyBlocks(float (&sum)[3][2][4], Tile<DC> X, Tile<DC> Y, const int (&row)[3],
                               const int (&column)[3], int lane) {
#pragma unroll
  for (int k = 0; k < DC / 16; k++) {
    MmaA x[count];
    MmaB2 y[count];
#pragma unroll
    for (int i = 0; i < count; i++) {
      x[i] = loadA(X, row[i], 16 * k, lane);
      y[i] = loadBTransposed(Y, column[i], 16 * k, lane);
    }
#pragma unroll
    for (int i = 0; i < count; i++) mma(sum[i][0], sum[i][1], x[i], y[i]);
  }
}

/// Scores x_t . y_s of a chunk, s <= t, decayed, to shared memory. Its ten blocks of 16 x 16 on
/// and below the diagonal are shared out as 3, 3, 2, 2.
template <int DC>
__device__ void computeScores(Tile<DC> X, Tile<DC> Y, Tile<64> scores, const RowDecays& decays,
                              const Lane& at) {
  const int numBlocks = at.warp < 2 ? 3 : 2;
  int row[3], column[3];
#pragma unroll
  for (int i = 0; i < 3; i++) {
    row[i] = 16 * (at.warp == 0 ? i > 0 : at.warp == 1 ? 2 : 3);
    column[i] = 16 * (at.warp == 0 ? i / 2 : at.warp == 3 ? i + 2 : i);
  }
  // The blocks side by side: a product waits for the one before it into the same sums.
  float sum[3][2][4] = {};
  if (numBlocks == 3)
    multiplyBlocks<3>(sum, X, Y, row, column, at.lane);
  else
    multiplyBlocks<2>(sum, X, Y, row, column, at.lane);
#pragma unroll
  for (int i = 0; i < 3; i++) {
    if (i >= numBlocks) break;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int t = row[i] + 8 * half + at.group;
      const float own = decays.any ? decays.sums[t] : 0.0f;
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const int s = column[i] + 8 * n + at.pairOf;
        const float2 earlier =
            decays.any ? *reinterpret_cast<const float2*>(decays.sums + s) : make_float2(0.0f, 0.0f);
        const float near = decays.any ? exp2Approx(own - earlier.x) : 1.0f;
        const float far = decays.any ? exp2Approx(own - earlier.y) : 1.0f;
        storeShared(scores.address(t, s / 8) + 2 * at.pairOf,
                    pack(s <= t ? near * sum[i][n][2 * half] : 0.0f,
                         s + 1 <= t ? far * sum[i][n][2 * half + 1] : 0.0f));
      }
    }
  }
}

/// P += z^T y over tokens [16 k, 16 k + 16), z as decayed already; the next operands are asked for before
/// each product.
template <int DC, int DO, int terms>
__device__ void addProducts(SweepState<DC, DO>& state, Tile<DC> Y, const MmaA (&z)[terms][DO / 64], int k,
                            int lane) {
  MmaB2 next = loadB(Y, 16 * k, 0, lane);
#pragma unroll
  for (int n = 0; n < DC / 16; n++) {
    const MmaB2 y = next;
    if (n + 1 < DC / 16) next = loadB(Y, 16 * k, 16 * (n + 1), lane);
#pragma unroll
    for (int term = 0; term < terms; term++)
#pragma unroll
      for (int m = 0; m < DO / 64; m++) mma(state.P[m][2 * n], state.P[m][2 * n + 1], z[term][m], y);
  }
}

/// P = gamma P is done; adds sum_s (decay after s) y_s z_s^T. With `exact`, what rounding takes from the
/// decayed z is added too: a state that leaves a segment is to be as good as f32.
template <int DC, int DO, bool exact>
__device__ void addTokens(SweepState<DC, DO>& state, Tile<DC> Y, Tile<DO> Z, const RowDecays& decays,
                          const Lane& at) {
  constexpr int MT = DO / 64;
#pragma unroll
  for (int k = 0; k < 4; k++) {
    MmaA z[1][MT];
#pragma unroll
    for (int m = 0; m < MT; m++) z[0][m] = loadATransposed(Z, 16 * k, 16 * (MT * at.warp + m), at.lane);
    if (!decays.any) {
      addProducts<DC, DO, 1>(state, Y, z, k, at.lane);
      continue;
    }
    const int s = 16 * k + at.pairOf;
    const float after[4] = {decays.after(s), decays.after(s + 1), decays.after(s + 8), decays.after(s + 9)};
    MmaA decayed[exact ? 2 : 1][MT];
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float near = lowHalf(z[0][m].x[i]) * after[i & 2],
                    far = highHalf(z[0][m].x[i]) * after[(i & 2) + 1];
        decayed[0][m].x[i] = pack(near, far);
        if constexpr (exact)
          decayed[1][m].x[i] = pack(near - lowHalf(decayed[0][m].x[i]), far - highHalf(decayed[0][m].x[i]));
      }
    addProducts<DC, DO, exact ? 2 : 1>(state, Y, decayed, k, at.lane);
  }
}

/// 32 rows of out from row 32 * half on: P^T x_t decayed, plus scores times z.
template <int DC, int DO, bool withScores>
__device__ void computeOutput(float (&out)[2][DO / 32][4], const SweepState<DC, DO>& state, Tile<DC> X,
                              Tile<DO> Z, Tile<64> scores, const RowDecays& decays, int half,
                              const Lane& at) {
  constexpr int MT = DO / 64;
#pragma unroll
  for (int k = 0; k < DC / 16; k++) {
    const MmaA x[2] = {loadA(X, 32 * half, 16 * k, at.lane), loadA(X, 32 * half + 16, 16 * k, at.lane)};
#pragma unroll
    for (int m = 0; m < MT; m++) {
      const MmaB2 p = state.operand(m, k);
#pragma unroll
      for (int r = 0; r < 2; r++) mma(out[r][2 * m], out[r][2 * m + 1], x[r], p);
    }
  }
  if (decays.any) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int t = 32 * half + 16 * r + at.group;
      const float upper = decays.upTo(t), lower = decays.upTo(t + 8);
#pragma unroll
      for (int n = 0; n < 2 * MT; n++) {
        out[r][n][0] *= upper;
        out[r][n][1] *= upper;
        out[r][n][2] *= lower;
        out[r][n][3] *= lower;
      }
    }
  }
  if constexpr (withScores) {
    const auto add = [&](int k, int firstRow) {
#pragma unroll
      for (int m = 0; m < MT; m++) {
        const MmaB2 z = loadB(Z, 16 * k, 16 * (MT * at.warp + m), at.lane);
#pragma unroll
        for (int r = 0; r < 2; r++)
          if (r >= firstRow)
            mma(out[r][2 * m], out[r][2 * m + 1], loadA(scores, 32 * half + 16 * r, 16 * k, at.lane), z);
      }
    };
    // Of the earlier 16 tokens all rows read, of the last 16 only the last.
    if (half == 1) {
      add(0, 0);
      add(1, 0);
    }
    add(2 * half, 0);
    add(2 * half + 1, 1);
  }
}

}  // namespace longscan
