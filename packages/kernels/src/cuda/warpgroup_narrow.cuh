#pragma once

#include "warpgroup.cuh"

// Products of 64 x 32 numbers by a warpgroup: half of the accumulators of 64 x 64, for kernels that want more
// warps instead. Tiles as in warpgroup.cuh.

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
  "%15}, %16, %17, 1, 1, 1, 0, %18;"

/// sum += A B over 16 numbers: A[m, k] = a[m][16 stepA + k], of B the 32 columns from 32 half on:
/// B[k, n] = b[32 half + n][16 stepB + k] (`rows`) or b[16 stepB + k][32 half + n] (`columns`).
template <StoredB stored>
__device__ inline void multiply(NarrowSums& sum, Tile<64> a, int stepA, Tile<64> b, int stepB, int half) {
  const uint32_t base = b.base + half * (stored == StoredB::rows ? 32 * 128 : 64);
  asm volatile(LONGSCAN_WGMMA_32
               : LONGSCAN_SUMS(sum, 0), LONGSCAN_SUMS(sum, 1), LONGSCAN_SUMS(sum, 2), LONGSCAN_SUMS(sum, 3)
               : "l"(productOperand<StoredB::rows>(a.base, stepA)), "l"(productOperand<stored>(base, stepB)),
                 "n"(stored == StoredB::columns));
}

/// The same with every second eight rows of b: B[k, 8 n + i] = b[16 n + 8 half + i][16 step + k]. Two
/// warpgroups with a half each share evenly what lies under the diagonal.
__device__ inline void multiplyAlternate(NarrowSums& sum, Tile<64> a, Tile<64> b, int step, int half) {
  // From one eight rows to the next but one.
  constexpr uint64_t otherEight = uint64_t{2 * 1024 >> 4 | 1u << 30} << 32;
  const uint64_t columns =
      (productOperand<StoredB::rows>(b.base + half * 1024, step) & 0xffffffffu) | otherEight;
  asm volatile(LONGSCAN_WGMMA_32
               : LONGSCAN_SUMS(sum, 0), LONGSCAN_SUMS(sum, 1), LONGSCAN_SUMS(sum, 2), LONGSCAN_SUMS(sum, 3)
               : "l"(productOperand<StoredB::rows>(a.base, step)), "l"(columns), "n"(0));
}

#undef LONGSCAN_SUMS
#undef LONGSCAN_WGMMA_32

#else

template <StoredB stored>
__device__ inline void multiply(NarrowSums& sum, Tile<64> a, int stepA, Tile<64> b, int stepB, int half) {
  const int lane = threadIdx.x & 31;
  const MmaA rows = loadA(a, (threadIdx.x >> 5 & 3) * 16, 16 * stepA, lane);
#pragma unroll
  for (int n = 0; n < 4; n += 2) {
    const int column = 32 * half + 8 * n;
    mma(sum[n], sum[n + 1], rows,
        stored == StoredB::rows ? loadBTransposed(b, column, 16 * stepB, lane)
                                : loadB(b, 16 * stepB, column, lane));
  }
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
