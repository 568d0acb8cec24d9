#pragma once

#include "cuda/pieces.cuh"
#include "cuda/warpgroup.cuh"
#include "sweep.h"

// The parts of a sweep over one chunk. A warpgroup holds P^T, [64 free channels, DC contracted channels], in
// the accumulators of its products: a warp has 16 free channels, all contracted ones.

namespace longscan {

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

__device__ inline float sumOverWarp(float x) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
  return x;
}

/// Where a thread's part of a warpgroup's sums lies.
struct Lane {
  int lane, warpgroup;
  int row0;    // the warp's first row of 16
  int group;   // row, and row + 8
  int pairOf;  // column, and column + 1

  __device__ Lane()
      : lane(threadIdx.x & 31),
        warpgroup(warpgroupNumber()),
        row0(__shfl_sync(~0u, static_cast<int>(threadIdx.x) >> 5 & 3, 0) * 16),
        group(lane >> 2),
        pairOf(2 * (lane & 3)) {}
};

/// P^T of one warpgroup: rows row0 + group (+ 8), columns 64 p + 8 n + pairOf + {0, 1}.
template <int DC>
struct SweepState {
  static constexpr int panels = DC / 64;
  /// 16-byte units of the state in bf16, for each thread.
  static constexpr int keptUnits = DC / 16;
  Sums P[panels];

  /// visit(element, row of the warpgroup's channels, column)
  template <typename Visit>
  __device__ void each(const Lane& at, Visit&& visit) {
#pragma unroll
    for (int p = 0; p < panels; p++)
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          visit(P[p][n][i], at.row0 + at.group + (i >> 1) * 8, 64 * p + 8 * n + at.pairOf + (i & 1));
  }

  /// visit(element, the next column's, whether of the lower row, the eight columns' first)
  template <typename Visit>
  __device__ void eachPair(Visit&& visit) {
#pragma unroll
    for (int p = 0; p < panels; p++)
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) visit(P[p][n][2 * i], P[p][n][2 * i + 1], i == 1, 64 * p + 8 * n);
  }

  __device__ void clear() {
#pragma unroll
    for (int p = 0; p < panels; p++) longscan::clear(P[p]);
  }

  /// P in bf16 for products to read, rows of contracted channels; and to `kept`, if not null.
  __device__ void publish(const Tile<64> (&to)[panels], uint4* kept, int threads, const Lane& at) const {
#pragma unroll
    for (int p = 0; p < panels; p++) publishPanel(p, to[p], kept, threads, at);
    publishToProducts();
  }
  __device__ void publishPanel(int p, Tile<64> to, uint4* kept, int threads, const Lane& at) const {
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const MmaA both = operandA(P[p], k);
      storeOperandA(to, at.row0, k, both, at.lane);
      if (kept != nullptr)
        storeGlobal(kept + (4 * p + k) * threads, both.x[0], both.x[1], both.x[2], both.x[3]);
    }
  }

  /// A kept state, as far as registers go: asked for before it is needed.
  static constexpr int early = keptUnits == 8 ? 4 : 0;
  using Kept = uint4[early > 0 ? early : 1];

  __device__ void loadKept(Kept& to, const uint4* from, int threads) const {
#pragma unroll
    for (int i = 0; i < early; i++) to[i] = loadEarly(from + i * threads, true);
  }

  /// The product with a kept state, element by element, summed over this thread's columns: of rows group,
  /// group + 8.
  __device__ float2 multiplyKept(const Kept& kept, const uint4* from, int threads) const {
    float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int i = 0; i < keptUnits; i++) {
      const uint4 other = i < early ? kept[i < early ? i : 0] : from[i * threads];
      const float *left = P[i / 4][i % 4 * 2], *right = P[i / 4][i % 4 * 2 + 1];
      sum.x += left[0] * lowHalf(other.x) + left[1] * highHalf(other.x);
      sum.y += left[2] * lowHalf(other.y) + left[3] * highHalf(other.y);
      sum.x += right[0] * lowHalf(other.z) + right[1] * highHalf(other.z);
      sum.y += right[2] * lowHalf(other.w) + right[3] * highHalf(other.w);
    }
    return sum;
  }
};

/// Log2 decays of a chunk's rows in the sweep's order: 64 `sums` in shared memory up to each row (with time
/// its own included, against time not), and their total.
struct RowDecays {
  uint32_t sums;
  float total;
  bool any;

  __device__ float upTo(int row) const { return exp2Approx(loadSharedFloat(sums + 4 * row)); }
  __device__ float after(int row) const { return exp2Approx(total - loadSharedFloat(sums + 4 * row)); }
  __device__ float2 pairUpTo(int row) const {
    const float2 both = loadSharedFloat2(sums + 4 * row);
    return make_float2(exp2Approx(both.x), exp2Approx(both.y));
  }
  __device__ float2 pairAfter(int row) const {
    const float2 both = loadSharedFloat2(sums + 4 * row);
    return make_float2(exp2Approx(total - both.x), exp2Approx(total - both.y));
  }
};

/// Sums of log2 decays from 64 natural logarithms, a lane has two: with time each its own included, against
/// time not. Returns the total.
__device__ inline float sumLogDecays(float first, float second, uint32_t sums, bool backward, int lane) {
  first *= log2e;
  second *= log2e;
  float upTo = first + second;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const float earlier = __shfl_up_sync(~0u, upTo, distance);
    if (lane >= distance) upTo += earlier;
  }
  const float before = __shfl_up_sync(~0u, upTo, 1);
  const float base = lane == 0 ? 0.0f : before;
  storeShared(sums + 8 * lane, backward ? make_float2(base, base + first) : make_float2(base + first, upTo));
  return __shfl_sync(~0u, upTo, 31);
}

/// Products of rows with earlier rows and themselves remain, decayed by what lies between; others become
/// zero.
__device__ inline void decayScores(Sums& scores, const RowDecays& decays, const Lane& at) {
  const int ownBlock = at.row0 / 8;
  const bool notLater = at.pairOf <= at.group, nextNotLater = at.pairOf < at.group;
  if (decays.any) {
    const float upper = loadSharedFloat(decays.sums + 4 * (at.row0 + at.group));
    const float lower = loadSharedFloat(decays.sums + 4 * (at.row0 + at.group + 8));
#pragma unroll
    for (int n = 0; n < 8; n++) {
      if (n > ownBlock + 1) break;
      const float2 earlier = loadSharedFloat2(decays.sums + 4 * (8 * n + at.pairOf));
      scores[n][0] *= exp2Approx(upper - earlier.x);
      scores[n][1] *= exp2Approx(upper - earlier.y);
      scores[n][2] *= exp2Approx(lower - earlier.x);
      scores[n][3] *= exp2Approx(lower - earlier.y);
    }
  }
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const int ahead = n - ownBlock;
    const bool upper = ahead < 0, lower = ahead <= 0;
    scores[n][0] = upper || (ahead == 0 && notLater) ? scores[n][0] : 0.0f;
    scores[n][1] = upper || (ahead == 0 && nextNotLater) ? scores[n][1] : 0.0f;
    scores[n][2] = lower || (ahead == 1 && notLater) ? scores[n][2] : 0.0f;
    scores[n][3] = lower || (ahead == 1 && nextNotLater) ? scores[n][3] : 0.0f;
  }
}

/// z^T of tokens [16 k, 16 k + 16) for the warp's channels, times `factors(token)`, those of a token and the
/// next, if `scaled`. In `rest`, if not null: what rounding takes off it.
template <typename Factors>
__device__ inline MmaA loadScaled(Tile<64> Z, int k, bool scaled, const Lane& at, Factors&& factors,
                                  MmaA* rest = nullptr) {
  MmaA z = loadATransposed(Z, 16 * k, at.row0, at.lane);
  if (rest) *rest = {};
  if (!scaled) return z;
  const int s = 16 * k + at.pairOf;
  const float2 of[2] = {factors(s), factors(s + 8)};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float near = lowHalf(z.x[i]) * of[i >> 1].x, far = highHalf(z.x[i]) * of[i >> 1].y;
    z.x[i] = pack(near, far);
    if (rest) rest->x[i] = pack(near - lowHalf(z.x[i]), far - highHalf(z.x[i]));
  }
  return z;
}

/// The same decayed by what follows each token, in one or two terms.
template <int terms>
__device__ inline void loadDecayed(MmaA (&to)[terms], Tile<64> Z, int k, const RowDecays& decays,
                                   const Lane& at) {
  to[0] = loadScaled(
      Z, k, decays.any, at, [&](int token) { return decays.pairAfter(token); },
      terms == 2 ? &to[terms - 1] : nullptr);
}

}  // namespace longscan
