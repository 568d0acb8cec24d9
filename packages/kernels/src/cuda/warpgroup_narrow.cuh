#pragma once

#include "warpgroup.cuh"

// Products of 64 x 32 numbers by a warpgroup: less accumulators than 64 x 64, for kernels that
// want more warps instead. Tiles as in warpgroup.cuh.

namespace longscan {

/// Rows as of `Sums`; sum[n] columns [8 n, 8 n + 8) of the product's own 32.
using NarrowSums = float[4][4];

__device__ inline void clear(NarrowSums& sum) {
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) sum[n][i] = 0.0f;
}

#if LONGSCAN_WGMMA

#define LONGSCAN_SUMS(sum, n) "+f"(sum[n][0]), "+f"(sum[n][1]), "+f"(sum[n][2]), "+f"(sum[n][3])
#define LONGSCAN_WGMMA_32                                                                                    \
  "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14," \
  "%15}, %16, %17, 1, 1, 1, %18, %19;"

/// sum += A B over 16 numbers: A[m, k] = a[m][16 step + k], B[k, n] = b[32 half + n][16 step + k].
__device__ inline void multiplyRows(NarrowSums& sum, Tile<64> a, Tile<64> b, int step, int half) {
  asm volatile(LONGSCAN_WGMMA_32
               : LONGSCAN_SUMS(sum, 0), LONGSCAN_SUMS(sum, 1), LONGSCAN_SUMS(sum, 2), LONGSCAN_SUMS(sum, 3)
               : "l"(productOperand<StoredB::rows>(a.base, step)),
                 "l"(productOperand<StoredB::rows>(b.base + half * 32 * 128, step)), "n"(0), "n"(0));
}

/// The same as `multiplyRows` with every second eight rows of b: B[k, 8 n + i] = b[16 n + 8 half + i][16 step
/// + k]. Two warpgroups with a half each share evenly what lies under the diagonal.
__device__ inline void multiplyAlternate(NarrowSums& sum, Tile<64> a, Tile<64> b, int step, int half) {
  // From one eight rows to the next but one.
  constexpr uint64_t otherEight = uint64_t{2 * 1024 >> 4 | 1u << 30} << 32;
  const uint64_t columns =
      (productOperand<StoredB::rows>(b.base + half * 1024, step) & 0xffffffffu) | otherEight;
  asm volatile(LONGSCAN_WGMMA_32
               : LONGSCAN_SUMS(sum, 0), LONGSCAN_SUMS(sum, 1), LONGSCAN_SUMS(sum, 2), LONGSCAN_SUMS(sum, 3)
               : "l"(productOperand<StoredB::rows>(a.base, step)), "l"(columns), "n"(0), "n"(0));
}

#undef LONGSCAN_SUMS
#undef LONGSCAN_WGMMA_32

#else

__device__ inline void multiplyRows(NarrowSums& sum, Tile<64> a, Tile<64> b, int step, int half) {
  const int lane = threadIdx.x & 31;
  const MmaA rows = loadA(a, (threadIdx.x >> 5 & 3) * 16, 16 * step, lane);
#pragma unroll
  for (int n = 0; n < 4; n += 2)
    mma(sum[n], sum[n + 1], rows, loadBTransposed(b, 32 * half + 8 * n, 16 * step, lane));
}

__device__ inline void multiplyAlternate(NarrowSums& sum, Tile<64> a, Tile<64> b, int step, int half) {
  const int lane = threadIdx.x & 31;
  const MmaA rows = loadA(a, (threadIdx.x >> 5 & 3) * 16, 16 * step, lane);
#pragma unroll
  for (int n = 0; n < 4; n++) {
    const MmaB2 both = loadBTransposed(b, 16 * n, 16 * step, lane);
    mma(sum[n], rows, both.x[2 * half], both.x[2 * half + 1]);
  }
}

#endif

}  // namespace longscan
