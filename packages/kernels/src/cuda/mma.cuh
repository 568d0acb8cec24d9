#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "tile.cuh"

// The tensor cores' m16n8k16 product of bf16 with f32 sums (sm_80 and newer), and how its operands are taken
// from tiles in shared memory. Of an accumulator, a thread holds rows lane/4 and lane/4 + 8, columns
// 2*(lane%4) + {0, 1}.

namespace longscan {

struct MmaA {
  uint32_t x[4];
};

/// The B operands of two neighbouring 8-column products.
struct MmaB2 {
  uint32_t x[4];
};

__device__ inline void mma(float (&sum)[4], const MmaA& a, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b0), "r"(b1));
}

__device__ inline void mma(float (&left)[4], float (&right)[4], const MmaA& a, const MmaB2& b) {
  mma(left, a, b.x[0], b.x[1]);
  mma(right, a, b.x[2], b.x[3]);
}

/// f32 with 10 bits of mantissa, rounded.
__device__ inline uint32_t roundToTf32(float x) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return rounded;
}

/// m16n8k8 in tf32: a[i] of row lane/4 + 8 * (i & 1), contracted number lane%4 + 4 * (i >> 1), b of column
/// lane/4. In which order the contracted numbers are taken is the caller's choice, the same for a and b.
__device__ inline void mmaTf32(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline void loadMatrices(uint32_t (&x)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(address));
}

__device__ inline void loadMatricesTransposed(uint32_t (&x)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(address));
}

/// A[m, k] = tile[row + m][column + k], 16 x 16; rows and columns of fragments are multiples of 16.
template <int D>
__device__ inline MmaA loadA(Tile<D> tile, int row, int column, int lane) {
  MmaA a;
  loadMatrices(a.x, tile.fragment(row, column, lane & 15, lane >> 4));
  return a;
}

/// A[m, k] = tile[row + k][column + m], 16 x 16.
template <int D>
__device__ inline MmaA loadATransposed(Tile<D> tile, int row, int column, int lane) {
  MmaA a;
  loadMatricesTransposed(a.x, tile.fragment(row, column, (lane & 7) + ((lane >> 4) << 3), lane >> 3 & 1));
  return a;
}

/// B[k, n] = tile[row + k][column + n], 16 x 16.
template <int D>
__device__ inline MmaB2 loadB(Tile<D> tile, int row, int column, int lane) {
  MmaB2 b;
  loadMatricesTransposed(b.x, tile.fragment(row, column, lane & 15, lane >> 4));
  return b;
}

/// B[k, n] = tile[row + n][column + k], 16 x 16.
template <int D>
__device__ inline MmaB2 loadBTransposed(Tile<D> tile, int row, int column, int lane) {
  MmaB2 b;
  loadMatrices(b.x, tile.fragment(row, column, (lane & 7) + ((lane >> 4) << 3), lane >> 3 & 1));
  return b;
}

__device__ inline uint32_t pack(float low, float high) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const uint32_t&>(both);
}

/// 8 x 8 pairs of bytes, of which a lane has two neighbours in row lane / 4, with rows and columns exchanged.
__device__ inline uint32_t transposeMatrix(uint32_t x) {
  uint32_t y;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}

/// Exchanges values among the four lanes of a quad: value i of lane l becomes value l of lane i.
__device__ inline void transposeQuad(uint32_t (&value)[4], int lane) {
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const uint32_t other = __shfl_xor_sync(~0u, lane & 1 ? value[i] : value[i + 1], 1);
    if (lane & 1)
      value[i] = other;
    else
      value[i + 1] = other;
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const uint32_t other = __shfl_xor_sync(~0u, lane & 2 ? value[i] : value[i + 2], 2);
    if (lane & 2)
      value[i] = other;
    else
      value[i + 2] = other;
  }
}

__device__ inline float lowHalf(uint32_t both) {
  return __uint_as_float(both << 16);
}
__device__ inline float highHalf(uint32_t both) {
  return __uint_as_float(both & 0xffff0000u);
}

}  // namespace longscan
