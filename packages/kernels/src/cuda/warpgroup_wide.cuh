#pragma once

#include "warpgroup.cuh"

// More of wgmma's forms, on Hopper alone: products of 64 x 128 and 64 x 256 numbers, and first operands that
// are stored transposed. Tiles are panels of 64 columns and any number of rows, 128 bytes a row, as a
// Tile<64> but for the rows; columns from 64 on lie in the next panel, `panelBytes` further.

namespace longscan {

using WideSums = float[16][4];
using WidestSums = float[32][4];

template <int columns>
__device__ inline void clear(float (&sum)[columns][4]) {
#pragma unroll
  for (int n = 0; n < columns; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) sum[n][i] = 0.0f;
}

/// After a wait: keeps the compiler from using sums before it.
template <int columns>
__device__ inline void settle(float (&sum)[columns][4]) {
#pragma unroll
  for (int n = 0; n < columns; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) asm volatile("" : "+f"(sum[n][i])::"memory");
}

/// Columns [16 step, 16 step + 16) of sums as the first operand of another product, rounded.
template <int columns>
__device__ inline MmaA operandOf(const float (&sum)[columns][4], int step) {
  const float *left = sum[2 * step], *right = sum[2 * step + 1];
  return {
      {pack(left[0], left[1]), pack(left[2], left[3]), pack(right[0], right[1]), pack(right[2], right[3])}};
}

__device__ inline void storeShared(uint32_t address, const float (&x)[4]) {
  asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};" ::"r"(address), "f"(x[0]), "f"(x[1]), "f"(x[2]),
               "f"(x[3])
               : "memory");
}

/// Rows of a tile from `base` on, 16 of the contracted columns from 16 `step` on.
__device__ inline uint64_t rowsOperand(uint32_t base, int step, uint32_t panelBytes) {
  constexpr uint32_t eightRows = 1024 >> 4, exchange128 = 1u << 30;
  const uint32_t at = base + (step >> 2) * panelBytes;
  const uint32_t low = ((at & 0x3ffff) >> 4 | eightRows << 16) + (step & 3) * 2;
  return static_cast<uint64_t>(eightRows | exchange128) << 32 | low;
}

/// Columns of a tile from `base` on, 16 of the contracted rows from 16 `step` on.
__device__ inline uint64_t columnsOperand(uint32_t base, int step, uint32_t panelBytes) {
  constexpr uint32_t eightRows = 1024 >> 4, exchange128 = 1u << 30;
  const uint32_t low = ((base & 0x3ffff) >> 4 | (panelBytes >> 4) << 16) + step * 128;
  return static_cast<uint64_t>(eightRows | exchange128) << 32 | low;
}

#if LONGSCAN_WGMMA

#define LONGSCAN_SUMS(how, sum, n) how(sum[n][0]), how(sum[n][1]), how(sum[n][2]), how(sum[n][3])
#define LONGSCAN_SUMS_8(how, sum, n)                                                                  \
  LONGSCAN_SUMS(how, sum, n), LONGSCAN_SUMS(how, sum, n + 1), LONGSCAN_SUMS(how, sum, n + 2),         \
      LONGSCAN_SUMS(how, sum, n + 3), LONGSCAN_SUMS(how, sum, n + 4), LONGSCAN_SUMS(how, sum, n + 5), \
      LONGSCAN_SUMS(how, sum, n + 6), LONGSCAN_SUMS(how, sum, n + 7)
#define LONGSCAN_WGMMA_N(columns, adds)        \
  "{ .reg .pred adds; setp.ne.u32 adds, " adds \
  ", 0; "                                      \
  "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {"
#define LONGSCAN_LIST_32                                                                               \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26," \
  "%27,%28,%29,%30,%31"
#define LONGSCAN_LIST_64                                                                                  \
  LONGSCAN_LIST_32                                                                                        \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56," \
  "%57,%58,%59,%60,%61,%62,%63"
#define LONGSCAN_LIST_128                                                                                 \
  LONGSCAN_LIST_64                                                                                        \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88," \
  "%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,"   \
  "%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"

/// sum = A B over 16 numbers, added to what it was if `adds`; both from shared memory. A `storedA` of columns
/// is A[m, k] = tile[k][m]. Sums that start are outputs alone: nothing may set them while products are under
/// way.
template <StoredB storedB, bool adds, StoredB storedA = StoredB::rows, int sign = 1>
__device__ inline void multiplyTiles(WideSums& sum, uint64_t a, uint64_t b) {
  constexpr int aIsColumns = storedA == StoredB::columns, bIsColumns = storedB == StoredB::columns;
  if constexpr (adds)
    asm volatile(LONGSCAN_WGMMA_N("128", "1") LONGSCAN_LIST_64 "}, %64, %65, adds, %68, 1, %66, %67; }"
                 : LONGSCAN_SUMS_8("+f", sum, 0), LONGSCAN_SUMS_8("+f", sum, 8)
                 : "l"(a), "l"(b), "n"(aIsColumns), "n"(bIsColumns), "n"(sign));
  else
    asm volatile(LONGSCAN_WGMMA_N("128", "0") LONGSCAN_LIST_64 "}, %64, %65, adds, %68, 1, %66, %67; }"
                 : LONGSCAN_SUMS_8("=f", sum, 0), LONGSCAN_SUMS_8("=f", sum, 8)
                 : "l"(a), "l"(b), "n"(aIsColumns), "n"(bIsColumns), "n"(sign));
}

/// sum = A B, both from shared memory, added to what it was if `adds`, which a loop may find out as it goes.
template <StoredB storedB>
__device__ inline void multiplyTiles(WidestSums& sum, uint64_t a, uint64_t b, int adds) {
  asm volatile(LONGSCAN_WGMMA_N("256", "%130") LONGSCAN_LIST_128 "}, %128, %129, adds, 1, 1, 0, %131; }"
               : LONGSCAN_SUMS_8("+f", sum, 0), LONGSCAN_SUMS_8("+f", sum, 8), LONGSCAN_SUMS_8("+f", sum, 16),
                 LONGSCAN_SUMS_8("+f", sum, 24)
               : "l"(a), "l"(b), "r"(adds), "n"(storedB == StoredB::columns));
}

/// sum += A B, A from registers.
template <StoredB storedB>
__device__ inline void multiplyTile(WideSums& sum, const MmaA& a, uint64_t b) {
  asm volatile(LONGSCAN_WGMMA_N("128", "1") LONGSCAN_LIST_64 "}, {%64,%65,%66,%67}, %68, adds, 1, 1, %69; }"
               : LONGSCAN_SUMS_8("+f", sum, 0), LONGSCAN_SUMS_8("+f", sum, 8)
               : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(b),
                 "n"(storedB == StoredB::columns));
}

#undef LONGSCAN_SUMS
#undef LONGSCAN_SUMS_8
#undef LONGSCAN_WGMMA_N
#undef LONGSCAN_LIST_32
#undef LONGSCAN_LIST_64
#undef LONGSCAN_LIST_128

#endif

}  // namespace longscan
