#pragma once

#include "mma.cuh"
#include "warp_arrival.cuh"

// Products of 64 x 64 numbers by a warpgroup, four warps that begin at a warp number divisible by four: on
// Hopper (sm_90a) wgmma, which reads tiles in shared memory by itself and runs in the background; elsewhere
// mma.sync, with the same numbers in the same threads. Of the 64 x 64 sums, warp w has rows [16 w, 16 w +
// 16), sum[n] columns [8 n, 8 n + 8) of them as in mma.cuh.
//
// Tiles: 64 columns wide (a Tile<64> is wgmma's 128-byte exchange pattern), aligned to 1024 bytes.

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define LONGSCAN_WGMMA 1
#else
#define LONGSCAN_WGMMA 0
#endif

namespace longscan {

using Sums = float[8][4];

__device__ inline void clear(Sums& sum) {
#pragma unroll
  for (int n = 0; n < 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) sum[n][i] = 0.0f;
}

/// Before reading tiles that were written with ordinary stores or copies: each writer calls it, then a
/// barrier.
__device__ inline void publishToProducts() {
#if LONGSCAN_WGMMA
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/// Before the first of some products; their sums and operands in registers are as they should be.
__device__ inline void beginProducts() {
#if LONGSCAN_WGMMA
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

/// Ends a group of products.
__device__ inline void commitProducts() {
#if LONGSCAN_WGMMA
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

/// Waits until at most `pending` groups are under way; before that, no thread may touch their sums or
/// operands.
template <int pending>
__device__ inline void waitForProducts() {
#if LONGSCAN_WGMMA
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
#endif
}

/// The number of the warpgroup in its block, in a form that the compiler knows to be the same for a whole
/// warp.
__device__ inline int warpgroupNumber() {
  return __shfl_sync(~0u, static_cast<int>(threadIdx.x) >> 7, 0);
}

/// One warp starts to fill `panels` tiles of 64 columns, one after the other from `to` on, with as many
/// columns of `from`, [T, ..], whose tokens are `pitch` elements apart; only `width` columns are there. The
/// rest becomes zeros.
template <int panels>
__device__ inline void fillPanels(uint32_t to, const __nv_bfloat16* from, int pitch, int width,
                                  const TileRows& rows) {
  constexpr int rowsAtOnce = 4;
  const int row0 = (threadIdx.x & 31) / 8, unit = threadIdx.x % 8;
  const __nv_bfloat16* source = from + (rows.first + rows.offsetOf(row0)) * pitch + unit * 8;
  const int64_t step = static_cast<int64_t>(rows.backward ? -rowsAtOnce : rowsAtOnce) * pitch;
  bool inside[panels];
#pragma unroll
  for (int p = 0; p < panels; p++) inside[p] = unit * 8 + 64 * p < width;
  to = Tile<64>{to}.address(row0, unit);
#pragma unroll
  for (int i = 0; i < tileTokens / rowsAtOnce; i++) {
    // Row + 4: of the number that exchanges units one bit is another.
    const uint32_t exchanged = (i % 2 == 0 ? to : to ^ 64) + i * rowsAtOnce * 128;
    const bool there = rows.has(rows.offsetOf(row0 + i * rowsAtOnce));
#pragma unroll
    for (int p = 0; p < panels; p++)
      copyAsync16(exchanged + p * Tile<64>::bytes, source + 64 * p, there && inside[p]);
    source += step;
  }
}

/// From here on each thread of this warpgroup has so many registers: less than the kernel started with, or
/// more that another warpgroup gave back.
template <int registers>
__device__ inline void shrinkRegisters() {
#if LONGSCAN_WGMMA
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
#endif
}
template <int registers>
__device__ inline void growRegisters() {
#if LONGSCAN_WGMMA
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
#endif
}

/// Barrier `number` (1 .. 15) of `threads` threads, of which some only announce that they have come so far.
__device__ inline void joinBarrier(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
__device__ inline void announceAtBarrier(int number, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
/// Announces, where waiting would do no harm. In a library for racecheck it waits: after `bar.arrive` that
/// tool may not know any more what later barriers order.
__device__ inline void announceOrJoinBarrier(int number, int threads) {
  isForRacecheck ? joinBarrier(number, threads) : announceAtBarrier(number, threads);
}

/// How B is stored: B[k, n] = tile[n][k] (`rows`, a product of rows with rows) or tile[k][n] (`columns`).
enum class StoredB { rows, columns };

#if LONGSCAN_WGMMA

/// 16 of the contracted numbers lie 32 bytes further in a row, or 16 rows further.
template <StoredB stored>
__device__ inline uint64_t productOperand(uint32_t base, int step) {
  constexpr uint32_t eightRows = 1024 >> 4, exchange128 = 1u << 30;
  const uint32_t low = ((base & 0x3ffff) >> 4 | eightRows << 16) + step * (stored == StoredB::rows ? 2 : 128);
  return static_cast<uint64_t>(eightRows | exchange128) << 32 | low;
}

#define LONGSCAN_SUMS(how, sum, n) how(sum[n][0]), how(sum[n][1]), how(sum[n][2]), how(sum[n][3])
#define LONGSCAN_ALL_SUMS(how, sum)                                                       \
  LONGSCAN_SUMS(how, sum, 0), LONGSCAN_SUMS(how, sum, 1), LONGSCAN_SUMS(how, sum, 2),     \
      LONGSCAN_SUMS(how, sum, 3), LONGSCAN_SUMS(how, sum, 4), LONGSCAN_SUMS(how, sum, 5), \
      LONGSCAN_SUMS(how, sum, 6), LONGSCAN_SUMS(how, sum, 7)
#define LONGSCAN_WGMMA_64(adds)                                                                      \
  "{ .reg .pred adds; setp.ne.u32 adds, " adds                                                       \
  ", 0; "                                                                                            \
  "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12," \
  "%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "

/// sum = A B over 16 numbers, added to what it was if `adds`; with a `sign` of -1 taken off. Both are read
/// from shared memory, A as B is: A[m, k] = tile[m][k] (`rows`) or tile[k][m] (`columns`). Sums that start
/// are outputs alone: nothing may set them while products are under way.
template <StoredB storedB, bool adds, StoredB storedA = StoredB::rows, int sign = 1>
__device__ inline void multiplyTiles(Sums& sum, uint64_t a, uint64_t b) {
  constexpr int aIsColumns = storedA == StoredB::columns, bIsColumns = storedB == StoredB::columns;
  if constexpr (adds)
    asm volatile(LONGSCAN_WGMMA_64("1") "%32, %33, adds, %34, 1, %35, %36; }"
                 : LONGSCAN_ALL_SUMS("+f", sum)
                 : "l"(a), "l"(b), "n"(sign), "n"(aIsColumns), "n"(bIsColumns));
  else
    asm volatile(LONGSCAN_WGMMA_64("0") "%32, %33, adds, %34, 1, %35, %36; }"
                 : LONGSCAN_ALL_SUMS("=f", sum)
                 : "l"(a), "l"(b), "n"(sign), "n"(aIsColumns), "n"(bIsColumns));
}

/// The same with A from registers, where it must stay as it is until the product is waited for.
template <StoredB storedB, bool adds = true, int sign = 1>
__device__ inline void multiplyTile(Sums& sum, const MmaA& a, uint64_t b) {
  constexpr int bIsColumns = storedB == StoredB::columns;
  if constexpr (adds)
    asm volatile(LONGSCAN_WGMMA_64("1") "{%32,%33,%34,%35}, %36, adds, %37, 1, %38; }"
                 : LONGSCAN_ALL_SUMS("+f", sum)
                 : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(b), "n"(sign), "n"(bIsColumns));
  else
    asm volatile(LONGSCAN_WGMMA_64("0") "{%32,%33,%34,%35}, %36, adds, %37, 1, %38; }"
                 : LONGSCAN_ALL_SUMS("=f", sum)
                 : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(b), "n"(sign), "n"(bIsColumns));
}

#undef LONGSCAN_SUMS
#undef LONGSCAN_ALL_SUMS
#undef LONGSCAN_WGMMA_64

/// sum = A B over 16 numbers, added to what it was if `adds`: A[m, k] = a[m][16 stepA + k], B's from 16 stepB
/// on.
template <StoredB stored, bool adds = true>
__device__ inline void multiply(Sums& sum, Tile<64> a, int stepA, Tile<64> b, int stepB) {
  multiplyTiles<stored, adds>(sum, productOperand<StoredB::rows>(a.base, stepA),
                              productOperand<stored>(b.base, stepB));
}

/// The same with A stored the other way: A[m, k] = a[16 stepA + k][m], and B[k, n] = b[16 stepB + k][n]. With
/// a `sign` of -1 the product is taken off.
template <bool adds = true, int sign = 1>
__device__ inline void multiplyTransposed(Sums& sum, Tile<64> a, int stepA, Tile<64> b, int stepB) {
  multiplyTiles<StoredB::columns, adds, StoredB::columns, sign>(
      sum, productOperand<StoredB::columns>(a.base, stepA), productOperand<StoredB::columns>(b.base, stepB));
}

template <StoredB stored, bool adds = true>
__device__ inline void multiply(Sums& sum, const MmaA& a, Tile<64> b, int stepB) {
  multiplyTile<stored, adds>(sum, a, productOperand<stored>(b.base, stepB));
}

#else

template <StoredB stored, bool adds = true>
__device__ inline void multiply(Sums& sum, const MmaA& a, Tile<64> b, int stepB) {
  const int lane = threadIdx.x & 31;
  if (!adds) clear(sum);
#pragma unroll
  for (int n = 0; n < 8; n += 2)
    mma(sum[n], sum[n + 1], a,
        stored == StoredB::rows ? loadBTransposed(b, 8 * n, 16 * stepB, lane)
                                : loadB(b, 16 * stepB, 8 * n, lane));
}

template <StoredB stored, bool adds = true>
__device__ inline void multiply(Sums& sum, Tile<64> a, int stepA, Tile<64> b, int stepB) {
  if (!adds) clear(sum);
  multiply<stored>(sum, loadA(a, (threadIdx.x >> 5 & 3) * 16, 16 * stepA, threadIdx.x & 31), b, stepB);
}

template <bool adds = true, int sign = 1>
__device__ inline void multiplyTransposed(Sums& sum, Tile<64> a, int stepA, Tile<64> b, int stepB) {
  if (!adds) clear(sum);
  MmaA rows = loadATransposed(a, 16 * stepA, (threadIdx.x >> 5 & 3) * 16, threadIdx.x & 31);
#pragma unroll
  for (int i = 0; sign < 0 && i < 4; i++) rows.x[i] ^= 0x80008000;
  multiply<StoredB::columns>(sum, rows, b, stepB);
}

#endif

/// Sums of one product as the first operand of the next, rounded: their columns [16 step, 16 step + 16).
__device__ inline MmaA operandA(const Sums& sum, int step) {
  const float *left = sum[2 * step], *right = sum[2 * step + 1];
  return {
      {pack(left[0], left[1]), pack(left[2], left[3]), pack(right[0], right[1]), pack(right[2], right[3])}};
}

/// The same to shared memory: rows [row, row + 16), columns [16 step, 16 step + 16) of a tile.
__device__ inline void storeOperandA(Tile<64> tile, int row, int step, const MmaA& a, int lane) {
#if __CUDA_ARCH__ >= 900
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(
                   tile.fragment(row, 16 * step, lane & 15, lane >> 4)),
               "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3])
               : "memory");
#else
#pragma unroll
  for (int i = 0; i < 4; i++)
    storeShared(tile.address(row + (lane >> 2) + (i & 1) * 8, 2 * step + (i >> 1)) + 4 * (lane & 3), a.x[i]);
#endif
}

/// tile[row + k][column + m] = A[m, k], 16 x 16: as `loadATransposed` loads it.
__device__ inline void storeATransposed(Tile<64> tile, int row, int column, const MmaA& a, int lane) {
#if __CUDA_ARCH__ >= 900
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(
                   tile.fragment(row, column, (lane & 7) + ((lane >> 4) << 3), lane >> 3 & 1)),
               "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3])
               : "memory");
#else
#pragma unroll
  for (int i = 0; i < 4; i++)
    storeShared(tile.address(row + (lane >> 2) + (i >> 1) * 8, column / 8 + (i & 1)) + 4 * (lane & 3),
                transposeMatrix(a.x[i]));
#endif
}

}  // namespace longscan
