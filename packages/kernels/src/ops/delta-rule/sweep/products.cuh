#pragma once

#include <type_traits>

#include "cuda/warpgroup_wide.cuh"

// Products of a sweep: 64 rows by 32 channels of V, those of a block of the narrow sweeps, by one warpgroup,
// both operands in shared memory. As in cuda/warpgroup.cuh by wgmma on Hopper, and by mma.sync with the same
// numbers in the same threads elsewhere.

namespace longscan {

/// Channels of V that a block works on.
constexpr int narrowValues = 32, wideValues = 64;

/// Sums of [64, 32] over a warpgroup: warp w has rows [16 w, 16 w + 16), sum[n] columns [8 n, 8 n + 8) of
/// them as in mma.cuh.
using NarrowSums = float[narrowValues / 8][4];

/// [64, 32] bf16 in shared memory: rows of 64 bytes, whose 16-byte units are exchanged by half the row's
/// number (wgmma's 64-byte pattern). Aligned to 512 bytes.
struct NarrowTile {
  static constexpr int bytes = tileTokens * 2 * narrowValues;
  uint32_t base;

  __device__ uint32_t address(int row, int unit) const {
    return base + row * 2 * narrowValues + ((unit ^ (row >> 1 & 3)) << 4);
  }
};

/// [64, width] of V.
template <int width>
using ValueTile = std::conditional_t<width == wideValues, Tile<64>, NarrowTile>;

/// 32 rows of a Tile<64>: [32, 64], a row for each channel of V.
constexpr int channelTileBytes = Tile<64>::bytes / 2;

__device__ inline void clear(NarrowSums& sum) {
#pragma unroll
  for (int i = 0; i < 16; i++) sum[i / 4][i % 4] = 0.0f;
}

__device__ inline void scale(NarrowSums& sum, float factor) {
#pragma unroll
  for (int i = 0; i < 16; i++) sum[i / 4][i % 4] *= factor;
}

/// Each of a thread's two rows times its factor.
template <int columns>
__device__ inline void scaleRows(float (&sum)[columns][4], float near, float far) {
#pragma unroll
  for (int i = 0; i < 4 * columns; i++) sum[i / 4][i % 4] *= i % 4 < 2 ? near : far;
}

/// The calling warp's rows of A for a product: A[m, k] = a[m][16 step + k] (`rows`) or a[16 step + k][m].
template <StoredB stored>
__device__ inline MmaA holdA(Tile<64> a, int step) {
  const int row0 = 16 * (threadIdx.x >> 5 & 3), lane = threadIdx.x & 31;
  return stored == StoredB::rows ? loadA(a, row0, 16 * step, lane)
                                 : loadATransposed(a, 16 * step, row0, lane);
}

#if LONGSCAN_WGMMA

/// The same product as below of a block with 64 channels, `b` of 64 rows.
template <StoredB stored>
__device__ inline void multiplyChannels(Sums& sum, Tile<64> a, Tile<64> b, int step) {
  multiplyTiles<StoredB::rows, true, stored>(sum, productOperand<stored>(a.base, step),
                                             productOperand<StoredB::rows>(b.base, step));
}

#define LONGSCAN_NARROW_SUMS(how, sum)                                                                \
  how(sum[0][0]), how(sum[0][1]), how(sum[0][2]), how(sum[0][3]), how(sum[1][0]), how(sum[1][1]),     \
      how(sum[1][2]), how(sum[1][3]), how(sum[2][0]), how(sum[2][1]), how(sum[2][2]), how(sum[2][3]), \
      how(sum[3][0]), how(sum[3][1]), how(sum[3][2]), how(sum[3][3])
#define LONGSCAN_WGMMA_32(adds)                                                                      \
  "{ .reg .pred adds; setp.ne.u32 adds, " adds                                                       \
  ", 0; "                                                                                            \
  "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12," \
  "%13,%14,%15}, "

/// sum += A B over 16 numbers, or -= : A[m, k] = a[m][16 step + k] (`rows`) or a[16 step + k][m] (`columns`),
/// B[k, n] = b[n][16 step + k], `b` of 32 rows. Sums that start, without `adds`, are outputs alone.
template <StoredB stored, bool negative = false, bool adds = true>
__device__ inline void multiplyChannels(NarrowSums& sum, Tile<64> a, Tile<64> b, int step) {
  const uint64_t left = productOperand<stored>(a.base, step),
                 right = productOperand<StoredB::rows>(b.base, step);
  if constexpr (adds)
    asm volatile(LONGSCAN_WGMMA_32("1") "%16, %17, adds, %18, 1, %19, 0; }"
                 : LONGSCAN_NARROW_SUMS("+f", sum)
                 : "l"(left), "l"(right), "n"(negative ? -1 : 1), "n"(stored == StoredB::columns));
  else
    asm volatile(LONGSCAN_WGMMA_32("0") "%16, %17, adds, %18, 1, %19, 0; }"
                 : LONGSCAN_NARROW_SUMS("=f", sum)
                 : "l"(left), "l"(right), "n"(negative ? -1 : 1), "n"(stored == StoredB::columns));
}

/// The same with A in registers, which must stay as they are until the product is waited for; `b` may be
/// stored the other way, 32 columns of it.
template <bool negative = false, StoredB storedB = StoredB::rows>
__device__ inline void multiplyChannels(NarrowSums& sum, const MmaA& a, Tile<64> b, int step) {
  asm volatile(LONGSCAN_WGMMA_32("1") "{%16,%17,%18,%19}, %20, adds, %21, 1, %22; }"
               : LONGSCAN_NARROW_SUMS("+f", sum)
               : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]),
                 "l"(productOperand<storedB>(b.base, step)), "n"(negative ? -1 : 1),
                 "n"(storedB == StoredB::columns));
}

#undef LONGSCAN_WGMMA_32
#undef LONGSCAN_NARROW_SUMS

#else

template <bool negative = false>
__device__ inline void multiplyChannels(NarrowSums& sum, MmaA a, Tile<64> b, int step) {
#pragma unroll
  for (int i = 0; i < 4; i++) a.x[i] ^= negative ? 0x80008000u : 0u;
#pragma unroll
  for (int n = 0; n < 4; n += 2)
    mma(sum[n], sum[n + 1], a, loadBTransposed(b, 8 * n, 16 * step, threadIdx.x & 31));
}

template <StoredB stored, bool negative = false>
__device__ inline void multiplyChannels(NarrowSums& sum, Tile<64> a, Tile<64> b, int step) {
  multiplyChannels<negative>(sum, holdA<stored>(a, step), b, step);
}

#endif

/// Sums, rounded, to 32 rows of a tile, transposed: to[n][m].
__device__ inline void storeTransposed(const NarrowSums& sum, Tile<64> to) {
  const int warp = threadIdx.x >> 5 & 3, lane = threadIdx.x & 31;
#pragma unroll
  for (int n = 0; n < 4; n += 2) {
    const uint32_t packed[4] = {pack(sum[n][0], sum[n][1]), pack(sum[n][2], sum[n][3]),
                                pack(sum[n + 1][0], sum[n + 1][1]), pack(sum[n + 1][2], sum[n + 1][3])};
#if __CUDA_ARCH__ >= 900
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(
                     to.address(8 * (n + (lane >> 4)) + (lane & 7), 2 * warp + (lane >> 3 & 1))),
                 "r"(packed[0]), "r"(packed[1]), "r"(packed[2]), "r"(packed[3])
                 : "memory");
#else
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < 2; j++)
        asm volatile(
            "st.shared.b16 [%0], %1;" ::"r"(
                to.address(8 * (n + i / 2) + 2 * (lane & 3) + j, 2 * warp + i % 2) + 2 * (lane >> 2)),
            "h"(static_cast<uint16_t>(packed[i] >> (16 * j)))
            : "memory");
#endif
  }
}

/// A tile of values as sums would lie.
__device__ inline void loadValues(NarrowSums& sum, NarrowTile from) {
  const int row0 = 16 * (threadIdx.x >> 5 & 3), lane = threadIdx.x & 31;
#pragma unroll
  for (int n = 0; n < 4; n += 2) {
    uint32_t both[4];
    loadMatrices(both, from.address(row0 + (lane & 15), n + (lane >> 4)));
#pragma unroll
    for (int i = 0; i < 4; i++) {
      sum[n + i / 2][2 * (i % 2)] = lowHalf(both[i]);
      sum[n + i / 2][2 * (i % 2) + 1] = highHalf(both[i]);
    }
  }
}

}  // namespace longscan
