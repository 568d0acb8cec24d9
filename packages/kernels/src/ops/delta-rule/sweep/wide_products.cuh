#pragma once

#include "cuda/warpgroup_wide.cuh"

// Products of a sweep's chain on Hopper with 64 channels of V as rows: the first operand in registers, where
// the sums of the product before it left it, the second one as it was loaded.

namespace longscan {

/// What a thread has of 64 factors, one for each column of sums.
struct ColumnFactors {
  float2 of[8];

  /// From shared memory.
  __device__ void take(const float* factors) {
    const float* const own = factors + 2 * (threadIdx.x & 3);
#pragma unroll
    for (int n = 0; n < 8; n++) of[n] = *reinterpret_cast<const float2*>(own + 8 * n);
  }
};

/// Each column of sums times its factor.
__device__ inline void scaleColumns(Sums& sum, const ColumnFactors& factors) {
#pragma unroll
  for (int n = 0; n < 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) sum[n][i] *= i % 2 == 0 ? factors.of[n].x : factors.of[n].y;
}

/// The same of columns [16 step, 16 step + 16) as a first operand, rounded.
__device__ inline MmaA scaledOperand(const Sums& sum, int step, const ColumnFactors& factors) {
  MmaA a;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int n = 2 * step + i / 2;
    a.x[i] = pack(sum[n][i % 2 * 2] * factors.of[n].x, sum[n][i % 2 * 2 + 1] * factors.of[n].y);
  }
  return a;
}

/// Each of a first operand's contracted numbers, [16 step, 16 step + 16), times its factor.
__device__ inline MmaA scaleContracted(const MmaA& a, const float* factors, int step, float scale) {
  MmaA scaled;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float2 factor =
        *reinterpret_cast<const float2*>(factors + 16 * step + 8 * half + 2 * (threadIdx.x & 3));
#pragma unroll
    for (int i = 2 * half; i < 2 * half + 2; i++)
      scaled.x[i] = pack(lowHalf(a.x[i]) * (scale * factor.x), highHalf(a.x[i]) * (scale * factor.y));
  }
  return scaled;
}

/// The calling warp's columns of a tile [64, 64] as rows of a first operand: A[m, k] = tile[16 step + k][m].
__device__ inline MmaA holdColumns(Tile<64> tile, int step) {
  return loadATransposed(tile, 16 * step, 16 * (threadIdx.x >> 5 & 3), threadIdx.x & 31);
}

#if LONGSCAN_WGMMA

#define LONGSCAN_SUMS(how, sum, n) how(sum[n][0]), how(sum[n][1]), how(sum[n][2]), how(sum[n][3])
#define LONGSCAN_ALL_SUMS(how, sum)                                                       \
  LONGSCAN_SUMS(how, sum, 0), LONGSCAN_SUMS(how, sum, 1), LONGSCAN_SUMS(how, sum, 2),     \
      LONGSCAN_SUMS(how, sum, 3), LONGSCAN_SUMS(how, sum, 4), LONGSCAN_SUMS(how, sum, 5), \
      LONGSCAN_SUMS(how, sum, 6), LONGSCAN_SUMS(how, sum, 7)
/// In place: to the compiler, sums after an ordinary branch would be others than before.
__device__ inline void clearIf(Sums& sum, bool clears) {
  asm volatile(
      "{ .reg .pred keeps; setp.eq.u32 keeps, %32, 0; @keeps bra kept;\n"
      "mov.f32 %0, 0f00000000; mov.f32 %1, 0f00000000; mov.f32 %2, 0f00000000; mov.f32 %3, 0f00000000;\n"
      "mov.f32 %4, 0f00000000; mov.f32 %5, 0f00000000; mov.f32 %6, 0f00000000; mov.f32 %7, 0f00000000;\n"
      "mov.f32 %8, 0f00000000; mov.f32 %9, 0f00000000; mov.f32 %10, 0f00000000; mov.f32 %11, 0f00000000;\n"
      "mov.f32 %12, 0f00000000; mov.f32 %13, 0f00000000; mov.f32 %14, 0f00000000; mov.f32 %15, 0f00000000;\n"
      "mov.f32 %16, 0f00000000; mov.f32 %17, 0f00000000; mov.f32 %18, 0f00000000; mov.f32 %19, 0f00000000;\n"
      "mov.f32 %20, 0f00000000; mov.f32 %21, 0f00000000; mov.f32 %22, 0f00000000; mov.f32 %23, 0f00000000;\n"
      "mov.f32 %24, 0f00000000; mov.f32 %25, 0f00000000; mov.f32 %26, 0f00000000; mov.f32 %27, 0f00000000;\n"
      "mov.f32 %28, 0f00000000; mov.f32 %29, 0f00000000; mov.f32 %30, 0f00000000; mov.f32 %31, 0f00000000;\n"
      "kept: }"
      : LONGSCAN_ALL_SUMS("+f", sum)
      : "r"(static_cast<uint32_t>(clears))
      : "memory");
}

/// sum = A B over 16 numbers, added to what it was if `adds`, taken from it if `negative`: B[k, n] =
/// b[n][16 step + k] (`rows`) or b[16 step + k][n] (`columns`). A must stay as it is until the product is
/// waited for.
template <StoredB storedB, bool negative = false, bool adds = true>
__device__ inline void multiplyHeld(Sums& sum, const MmaA& a, Tile<64> b, int step) {
  multiplyTile<storedB, adds, negative ? -1 : 1>(sum, a, productOperand<storedB>(b.base, step));
}

#undef LONGSCAN_SUMS
#undef LONGSCAN_ALL_SUMS

#endif

}  // namespace longscan
