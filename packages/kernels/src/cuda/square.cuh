#pragma once

#include "mma.cuh"
#include "pack.cuh"

// Products of 64 x 64 squares of f32 numbers in shared memory on tensor cores, by blocks of 128 threads. In
// TF32, which holds bf16 data exactly; for f32 data in three products of leading and trailing parts, which
// leaves an error of f32's size.

namespace longscan {

constexpr int squareSide = 64, squareThreads = 128;

/// Rows begin 4 banks apart: operands contracted along their columns meet no bank twice.
struct Square {
  static constexpr int pitch = squareSide + 4, size = squareSide * pitch;
  float* base;

  __device__ float& at(int row, int column) const { return base[row * pitch + column]; }
};

/// What of x an operand keeps; `exact` operands are taken apart when they are read.
template <bool exact>
__device__ inline float operand(float x) {
  return exact ? x : __uint_as_float(roundToTf32(x));
}

/// A product's 64 x 64 sums: a warp has 32 x 32 of them.
struct SquareSums {
  float x[2][4][4];

  __device__ void clear() {
    each([](float& x, int, int) { x = 0.0f; });
  }
  /// visit(sum, row, column)
  template <typename Visit>
  __device__ void each(Visit&& visit) {
    const int lane = threadIdx.x % 32, row = firstRow() + lane / 4, column = firstColumn() + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
      for (int n = 0; n < 4; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) visit(x[m][n][i], row + 16 * m + i / 2 * 8, column + 8 * n + i % 2);
  }
  __device__ void put(Square to) {
    each([&](float& x, int row, int column) { to.at(row, column) = x; });
  }
  static __device__ int firstRow() {
    return threadIdx.x / 64 * 32;
  }
  static __device__ int firstColumn() {
    return threadIdx.x / 32 % 2 * 32;
  }
};

/// sum[m, n] += sum_k A[m, k] B[k, n]: A is `a`, or its transpose if contracted along rows, B is `b` if that
/// is contracted along rows, else its transpose.
template <bool exact, bool aAlongRows, bool bAlongRows>
__device__ inline void multiplySquares(SquareSums& sum, Square a, Square b) {
  const int lane = threadIdx.x % 32, outer = lane / 4, inner = lane % 4;
  const auto ofA = [&](int m, int k) { return aAlongRows ? a.at(k, m) : a.at(m, k); };
  const auto ofB = [&](int n, int k) { return bAlongRows ? b.at(k, n) : b.at(n, k); };
  const auto split = [](float x, uint32_t& lead, uint32_t& trail) {
    lead = exact ? roundToTf32(x) : __float_as_uint(x);
    if (exact) trail = roundToTf32(x - __uint_as_float(lead));
  };
#pragma unroll 2
  for (int k = 0; k < squareSide; k += 8) {
    uint32_t A[2][4], trailA[2][4], B[4][2], trailB[4][2];
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        split(ofA(SquareSums::firstRow() + 16 * m + outer + 8 * (i & 1), k + inner + 4 * (i >> 1)), A[m][i],
              trailA[m][i]);
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int i = 0; i < 2; i++)
        split(ofB(SquareSums::firstColumn() + 8 * n + outer, k + inner + 4 * i), B[n][i], trailB[n][i]);
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
      for (int n = 0; n < 4; n++) {
        if (exact) {
          mmaTf32(sum.x[m][n], trailA[m], B[n][0], B[n][1]);
          mmaTf32(sum.x[m][n], A[m], trailB[n][0], trailB[n][1]);
        }
        mmaTf32(sum.x[m][n], A[m], B[n][0], B[n][1]);
      }
  }
}

/// A thread's part of a square on its way to shared memory: 4 columns of every eighth row.
template <typename Element>
struct SquarePart {
  Pack<Element, 4> x[8];

  static __device__ int column() { return threadIdx.x % 16 * 4; }
  static __device__ int row(int i) { return threadIdx.x / 16 + 8 * i; }

  /// Rows [low, high) of the 64 that begin at `from`, `stride` elements apart, of which `columns` columns
  /// exist; zeros elsewhere, where nothing is read. `packed`: four neighbours are aligned to their size.
  __device__ void load(const Element* from, int64_t stride, int columns, bool packed, int low, int high) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const bool there = row(i) >= low && row(i) < high;
      const Element* at = from + row(i) * stride + column();
      if (packed && there && column() < columns) {
        x[i] = loadPack<4>(at);
        continue;
      }
#pragma unroll
      for (int e = 0; e < 4; e++)
        x[i].x[e] = there && column() + e < columns ? at[e] : fromFloat<Element>(0.0f);
    }
  }
  /// Each row times factor(row, i), the i-th of this thread.
  template <bool exact, typename Factor>
  __device__ void put(Square to, Factor&& factor) const {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float f = factor(row(i), i);
      Pack<float, 4> values;
#pragma unroll
      for (int e = 0; e < 4; e++) values.x[e] = operand<exact>(f * toFloat(x[i].x[e]));
      storePack(&to.at(row(i), column()), values);
    }
  }
  template <bool exact>
  __device__ void put(Square to) const {
    put<exact>(to, [](int, int) { return 1.0f; });
  }
};

/// Rows [low, high) of a square to memory, `columns` of its columns.
template <typename Element>
__device__ inline void storeSquare(Square from, Element* to, int64_t stride, int columns, bool packed,
                                   int low, int high) {
  const int column = SquarePart<Element>::column();
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int row = SquarePart<Element>::row(i);
    if (row < low || row >= high || column >= columns) continue;
    const Pack<float, 4> values = loadPack<4>(&from.at(row, column));
    Element* at = to + row * stride + column;
    Pack<Element, 4> rounded;
#pragma unroll
    for (int e = 0; e < 4; e++) rounded.x[e] = fromFloat<Element>(values.x[e]);
    if (packed) {
      storePack(at, rounded);
      continue;
    }
#pragma unroll
    for (int e = 0; e < 4; e++)
      if (column + e < columns) at[e] = rounded.x[e];
  }
}

}  // namespace longscan
