#pragma once

// Tiles of tokens and products of small matrices in scratch memory, for the recurrences' `cpu*.cc` only.
// Every scratch matrix is padded with zeros to multiples of 16, so no inner loop has a tail.

#include "simd.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

constexpr int L = 16;  // tokens of a tile, also the padding of every scratch dimension

static inline int padded(int n) {
  return (n + L - 1) / L * L;
}

/// A run of at most L tokens of one document.
struct Tile {
  int numTokens;  // the rest, up to L, is padding
  bool reset;     // a document starts with the first token
  int64_t token;  // index of the first token, in [0, T)
};

/// How one batch row of T tokens is cut into tiles.
struct DocumentTiles {
  const int32_t* resets;  // [T / rowsPerToken], 1 where a document starts, or null
  int64_t T;
  int rowsPerToken = 1;  // more where a recurrence takes several steps for a token: T counts steps then

  bool startsDocument(int64_t t) const {
    if (resets == nullptr) return false;
    if (rowsPerToken == 1) return resets[t] != 0;
    return t % rowsPerToken == 0 && resets[t / rowsPerToken] != 0;
  }

  /// The tile that begins at `t`: it ends before the next document start and never crosses a multiple of 16,
  /// so its borders do not depend on where the documents before it ended.
  Tile at(int64_t t) const {
    int64_t end = t / L * L + L < T ? t / L * L + L : T;
    for (int64_t s = t + 1; s < end; s++) {
      if (startsDocument(s)) end = s;
    }
    return {static_cast<int>(end - t), startsDocument(t), t};
  }

  /// The tile that ends before `end` (> 0).
  Tile before(int64_t end) const {
    int64_t t = end - 1;
    while (t % L != 0 && !startsDocument(t)) t--;
    return {static_cast<int>(end - t), startsDocument(t), t};
  }

  /// The first token that a document starts with; T if none does.
  int64_t firstReset() const {
    int64_t t = 0;
    while (t < T && !startsDocument(t)) t++;
    return t;
  }
};

/// What a product does with the old C.
enum class Old { drop, add, scaleRows };

template <typename Real, int M, int N, Old old>
static inline void multiplyBlock(int P, const Real* A, int rowStride, int colStride, const Real* B, int ldb,
                                 Real* C, int ldc, const Real* rowScale) {
  using V = Vec<Real>;
  V sum[M][N];
  for (int m = 0; m < M; m++) {
    for (int n = 0; n < N; n++) {
      if (old == Old::drop) sum[m][n] = V::zero();
      if (old == Old::add) sum[m][n] = V::load(C + m * ldc + n * V::width);
      if (old == Old::scaleRows) sum[m][n] = V::load(C + m * ldc + n * V::width) * V::set(rowScale[m]);
    }
  }
  for (int p = 0; p < P; p++) {
    V b[N];
    for (int n = 0; n < N; n++) b[n] = V::load(B + p * ldb + n * V::width);
    for (int m = 0; m < M; m++) {
      const V a = V::set(A[m * rowStride + p * colStride]);
      for (int n = 0; n < N; n++) sum[m][n] = sum[m][n] + a * b[n];
    }
  }
  for (int m = 0; m < M; m++) {
    for (int n = 0; n < N; n++) sum[m][n].store(C + m * ldc + n * V::width);
  }
}

/// C[rows, cols] = A[rows, P] B[P, cols], plus the old C as `old` says; rows and cols are multiples of 16 and
/// A is read as A[m * rowStride + p * colStride], so either operand order costs the same.
template <typename Real, Old old>
static inline void multiply(int rows, int cols, int P, const Real* A, int rowStride, int colStride,
                            const Real* B, int ldb, Real* C, int ldc, const Real* rowScale = nullptr) {
  constexpr int width = Vec<Real>::width;
  constexpr int M = vectorBytes == 64 ? 8 : 4;
  for (int m = 0; m < rows; m += M) {
    const Real* scale = old == Old::scaleRows ? rowScale + m : nullptr;
    int n = 0;
    for (; n + 2 * width <= cols; n += 2 * width) {
      multiplyBlock<Real, M, 2, old>(P, A + m * rowStride, rowStride, colStride, B + n, ldb, C + m * ldc + n,
                                     ldc, scale);
    }
    for (; n < cols; n += width) {
      multiplyBlock<Real, M, 1, old>(P, A + m * rowStride, rowStride, colStride, B + n, ldb, C + m * ldc + n,
                                     ldc, scale);
    }
  }
}

/// Copies `numTokens` rows of length n out of [T, H, n] (row distance `stride`) into [L, np], padding with
/// zeros.
template <typename Real>
static inline void loadRows(const Real* from, int64_t stride, int numTokens, int n, Real* to, int np) {
  for (int i = 0; i < L; i++) {
    int c = 0;
    if (i < numTokens) {
      for (; c < n; c++) to[i * np + c] = from[i * stride + c];
    }
    for (; c < np; c++) to[i * np + c] = 0;
  }
}

template <typename Real>
static inline void storeRows(const Real* from, int np, int numTokens, int n, Real* to, int64_t stride) {
  for (int i = 0; i < numTokens; i++) {
    for (int c = 0; c < n; c++) to[i * stride + c] = from[i * np + c];
  }
}

/// [L, n] -> [n, L] (n a multiple of 16).
template <typename Real>
static inline void transposeRows(const Real* from, int n, Real* to) {
  for (int c = 0; c < n; c++) {
    for (int i = 0; i < L; i++) to[c * L + i] = from[i * n + c];
  }
}

/// a . b of n elements, a multiple of 16.
template <typename Real>
static inline Real dotProduct(const Real* a, const Real* b, int n) {
  using V = Vec<Real>;
  V sum = V::zero();
  for (int i = 0; i < n; i += V::width) sum = sum + V::load(a + i) * V::load(b + i);
  return sum.sum();
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
