#pragma once

#include "warpgroup.cuh"

// Products in tf32 of 64 x 64 numbers by a warpgroup, where bf16 is too coarse; sums as in warpgroup.cuh. The
// first operand comes from registers, the second from shared memory, row by row: B[k, n] = panel[n][k].

namespace longscan {

/// As `roundToTf32` for a product in tf32, which cuts off the last 13 bits, in a third of the instructions:
/// adds half of what they may be. Not a number becomes zero, so whatever has to be none afterwards needs
/// another way there.
__device__ inline uint32_t roundInProduct(float x) {
  return __float_as_uint(x) + (1u << 12);
}

/// f32 [64, 64] in shared memory: two halves of 32 columns as wgmma's 128-byte exchange
/// pattern, aligned to 1024 bytes. Of eight neighbours the even columns come first: a thread's pair of
/// columns 2 (lane % 4) and the next is then what it holds of a first operand.
struct Tf32Panel {
  static constexpr int halfBytes = tileTokens * 32 * 4;
  static constexpr int bytes = 2 * halfBytes;
  uint32_t base;

  /// Of the 16 bytes that have the even columns of eight neighbours, or the odd ones.
  __device__ uint32_t address(int row, int column, bool odd) const {
    const int unit = column % 32 / 8 * 2 + odd;
    return base + column / 32 * halfBytes + row * 128 + ((unit ^ (row & 7)) << 4);
  }

  /// Columns [column, column + 4) of a row, for products with rounding.
  __device__ void storeFour(int row, int column, const float (&x)[4]) const {
    const uint32_t even = address(row, column, false) + column % 8 * 2;
    const auto rounding = [](float number) { return __uint_as_float(roundInProduct(number)); };
    storeShared(even, make_float2(rounding(x[0]), rounding(x[2])));
    storeShared(even ^ 16, make_float2(rounding(x[1]), rounding(x[3])));
  }
};

/// What a thread has of a first operand over eight columns: rows lane/4 and lane/4 + 8 of its warp's
/// 16, columns 2 (lane % 4) and the next.
using Tf32A = uint32_t[4];

/// sum += A B^T over columns [8 step, 8 step + 8).
__device__ inline void multiplyTf32(Sums& sum, const Tf32A& a, Tf32Panel b, int step) {
#if LONGSCAN_WGMMA
#define LONGSCAN_SUMS(n) "+f"(sum[n][0]), "+f"(sum[n][1]), "+f"(sum[n][2]), "+f"(sum[n][3])
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,"
      "%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
      "{%32,%33,%34,%35}, %36, 1, 1, 1;"
      : LONGSCAN_SUMS(0), LONGSCAN_SUMS(1), LONGSCAN_SUMS(2), LONGSCAN_SUMS(3), LONGSCAN_SUMS(4),
        LONGSCAN_SUMS(5), LONGSCAN_SUMS(6), LONGSCAN_SUMS(7)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),
        "l"(productOperand<StoredB::rows>(b.base + step / 4 * Tf32Panel::halfBytes, step % 4)));
#undef LONGSCAN_SUMS
#else
  const int group = (threadIdx.x & 31) >> 2, place = threadIdx.x & 3;
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const int row = 8 * n + group;
    mmaTf32(sum[n], a, loadShared(b.address(row, 8 * step, false) + 4 * place),
            loadShared(b.address(row, 8 * step, true) + 4 * place));
  }
#endif
}

}  // namespace longscan
