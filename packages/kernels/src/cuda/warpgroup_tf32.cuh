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

/// f32 [64, 64] in shared memory: two halves of 32 columns as wgmma's 128-byte exchange pattern, aligned to
/// 1024 bytes.
struct Tf32Panel {
  static constexpr int pitch = 32 * 4;
  static constexpr int halfBytes = tileTokens * pitch;
  static constexpr int bytes = 2 * halfBytes;
  uint32_t base;

  /// Of 16 bytes, the columns [4 unit, 4 unit + 4).
  __device__ uint32_t address(int row, int unit) const {
    return base + unit / 8 * halfBytes + row * pitch + ((unit % 8 ^ (row & 7)) << 4);
  }
};

/// What a thread has of a first operand over eight columns: a[i] of row lane/4 + 8 * (i & 1) of its warp's
/// 16, column lane%4 + 4 * (i >> 1).
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
    mmaTf32(sum[n], a, loadShared(b.address(row, 2 * step) + 4 * place),
            loadShared(b.address(row, 2 * step + 1) + 4 * place));
  }
#endif
}

}  // namespace longscan
