#pragma once

#include "mma.cuh"
#include "pack.cuh"

// Products of 64 x 64 squares of f32 numbers in shared memory on tensor cores, by blocks of 256 threads. In
// TF32, which holds bf16 data exactly; for f32 data in three products of leading and trailing parts, which
// leaves an error of f32's size.

namespace longscan {

constexpr int squareSide = 64, squareThreads = 256;

/// Where rows begin 4 banks apart, an operand that is contracted along its columns meets no bank twice; where
/// they begin 8 apart, one that is contracted along its rows.
template <int pitch_>
struct SquareOf {
  static constexpr int pitch = pitch_;
  float* base;

  __device__ float& at(int row, int column) const { return base[row * pitch + column]; }
};
using Square = SquareOf<squareSide + 4>;
using SquareAlongRows = SquareOf<squareSide + 8>;
/// Numbers of either.
constexpr int squareSize = squareSide * SquareAlongRows::pitch;

/// What of x an operand keeps; `exact` operands are taken apart when they are read.
template <bool exact>
__device__ inline float operand(float x) {
  return exact ? x : __uint_as_float(roundToTf32(x));
}

/// A product's 64 x 64 sums: a warp has 16 x 32 of them.
struct SquareSums {
  float x[4][4];

  __device__ void clear() {
    each([](float& x, int, int) { x = 0.0f; });
  }
  /// visit(sum, row, column)
  template <typename Visit>
  __device__ void each(Visit&& visit) {
    const int lane = threadIdx.x % 32, row = firstRow() + lane / 4, column = firstColumn() + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) visit(x[n][i], row + i / 2 * 8, column + 8 * n + i % 2);
  }
  template <typename To>
  __device__ void put(To to) {
    each([&](float& x, int row, int column) { to.at(row, column) = x; });
  }
  static __device__ int firstRow() {
    return threadIdx.x / 64 * 16;
  }
  static __device__ int firstColumn() {
    return threadIdx.x / 32 % 2 * 32;
  }
};

/// sum[m, n] += sum_k A[m, k] B[k, n]: A is `a`, or its transpose if contracted along rows, B is `b` if that
/// is contracted along rows, else its transpose.
template <bool exact, bool aAlongRows, bool bAlongRows, typename A, typename B>
__device__ inline void multiplySquares(SquareSums& sum, A a, B b) {
  const int lane = threadIdx.x % 32, outer = lane / 4, inner = lane % 4;
  const int m = SquareSums::firstRow() + outer, column = SquareSums::firstColumn() + outer;
  const float* fromA = a.base + (aAlongRows ? inner * A::pitch + m : m * A::pitch + inner);
  const float* fromB = b.base + (bAlongRows ? inner * B::pitch + column : column * B::pitch + inner);
  constexpr int stepA = aAlongRows ? A::pitch : 1, acrossA = aAlongRows ? 1 : A::pitch;
  constexpr int stepB = bAlongRows ? B::pitch : 1, acrossB = bAlongRows ? 1 : B::pitch;
  const auto split = [](float x, uint32_t& lead, uint32_t& trail) {
    lead = exact ? roundToTf32(x) : __float_as_uint(x);
    if (exact) trail = roundToTf32(x - __uint_as_float(lead));
  };
#pragma unroll 2
  for (int k = 0; k < squareSide; k += 8) {
    uint32_t leadA[4], trailA[4], leadB[4][2], trailB[4][2];
#pragma unroll
    for (int i = 0; i < 4; i++)
      split(fromA[(k + 4 * (i >> 1)) * stepA + 8 * (i & 1) * acrossA], leadA[i], trailA[i]);
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int i = 0; i < 2; i++)
        split(fromB[(k + 4 * i) * stepB + 8 * n * acrossB], leadB[n][i], trailB[n][i]);
#pragma unroll
    for (int n = 0; n < 4; n++) {
      if (exact) {
        mmaTf32(sum.x[n], trailA, leadB[n][0], leadB[n][1]);
        mmaTf32(sum.x[n], leadA, trailB[n][0], trailB[n][1]);
      }
      mmaTf32(sum.x[n], leadA, leadB[n][0], leadB[n][1]);
    }
  }
}

/// Rows [low, high) of the 64 that begin at `data`, `stride` elements apart, of which `columns` columns
/// exist.
template <typename Element>
struct SquareSource {
  const Element* data;
  int stride;
  int columns;
  bool packed;  // four neighbours are aligned to their size
  int low, high;
};

/// A thread's part of a square on its way to shared memory: 4 columns of every sixteenth row.
template <typename Element>
struct SquarePart {
  static constexpr int rows = squareSide * squareSide / 4 / squareThreads;
  Pack<Element, 4> x[rows];

  static __device__ int column() { return threadIdx.x % 16 * 4; }
  static __device__ int row(int i) { return threadIdx.x / 16 + 16 * i; }

  /// Rows [low, high) of the 64 that begin at `from`, `stride` elements apart, of which `columns` columns
  /// exist; zeros elsewhere, where nothing is read. `packed`: four neighbours are aligned to their size.
  __device__ void load(const Element* from, int stride, int columns, bool packed, int low, int high) {
    const Element* at = from + row(0) * stride + column();
    if (packed) {
      const bool inside = column() < columns;
#pragma unroll
      for (int i = 0; i < rows; i++) {
        x[i] = {};
        if (inside && row(i) >= low && row(i) < high) x[i] = loadPack<4>(at + i * 16 * stride);
      }
      return;
    }
    // One by one: rare, and not worth the registers of all at once.
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        x[i].x[e] = fromFloat<Element>(0.0f);
        if (row(i) >= low && row(i) < high && column() + e < columns) x[i].x[e] = at[i * 16 * stride + e];
      }
  }
  __device__ void load(const SquareSource<Element>& from) {
    load(from.data, from.stride, from.columns, from.packed, from.low, from.high);
  }
  /// Each row times factor(row, i), the i-th of this thread.
  template <bool exact, typename To, typename Factor>
  __device__ void put(To to, Factor&& factor) const {
    putRows(to, [&](int i, float x) { return operand<exact>(factor(row(i), i) * x); });
  }
  /// As it is: bf16 numbers are operands already.
  template <bool exact, typename To>
  __device__ void put(To to) const {
    putRows(to, [](int, float x) { return exact || sizeof(Element) == 2 ? x : operand<exact>(x); });
  }

 private:
  template <typename To, typename Value>
  __device__ void putRows(To to, Value&& value) const {
#pragma unroll
    for (int i = 0; i < rows; i++) {
      Pack<float, 4> values;
#pragma unroll
      for (int e = 0; e < 4; e++) values.x[e] = value(i, toFloat(x[i].x[e]));
      storePack(&to.at(row(i), column()), values);
    }
  }
};

/// Rows [low, high) of a square to memory, `columns` of its columns.
template <typename From, typename Element>
__device__ inline void storeSquare(From from, Element* to, int stride, int columns, bool packed, int low,
                                   int high) {
  using Part = SquarePart<Element>;
  const int column = Part::column();
  if (column >= columns) return;
#pragma unroll
  for (int i = 0; i < Part::rows; i++) {
    const int row = Part::row(i);
    if (row < low || row >= high) continue;
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
