#pragma once

// Solves A x = b for a symmetric positive definite A in scratch memory. Included by this folder's cpu*.cc
// only.

#include "../../core/simd.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Pivot rows that are subtracted from the rest in one pass over it.
constexpr int pivotRows = 4;

/// a[x] -= sum of factors[r] * rows[r][x], from the vector that holds `first` on.
template <typename Real, int N>
static inline void subtractRows(Real* a, const Real* const* rows, const Real* factors, int first, int n) {
  using Vector = Vec<Real>;
  Vector f[N];
  for (int r = 0; r < N; r++) f[r] = Vector::set(factors[r]);
  for (int x = first / Vector::width * Vector::width; x < n; x += Vector::width) {
    Vector sum = Vector::load(a + x);
    for (int r = 0; r < N; r++) sum = sum - f[r] * Vector::load(rows[r] + x);
    sum.store(a + x);
  }
}

/// A [n, n] becomes U with A = transpose(U) U, in its upper triangle; below it is nothing of use. n is a
/// multiple of 16, what pads A is a part of the identity.
template <typename Real>
static inline void choleskyInPlace(Real* A, int n) {
  for (int first = 0; first < n; first += pivotRows) {
    const Real* rows[pivotRows];
    for (int r = 0; r < pivotRows; r++) {
      const int p = first + r;
      Real* row = A + p * n;
      for (int s = 0; s < r; s++) {
        const Real factor = rows[s][p];
        subtractRows<Real, 1>(row, rows + s, &factor, p, n);
      }
      const Real inverse = 1 / std::sqrt(row[p]);
      for (int x = p; x < n; x++) row[x] *= inverse;
      rows[r] = row;
    }
    for (int i = first + pivotRows; i < n; i++) {
      Real factors[pivotRows];
      for (int r = 0; r < pivotRows; r++) factors[r] = rows[r][i];
      subtractRows<Real, pivotRows>(A + i * n, rows, factors, i, n);
    }
  }
}

/// b <- (transpose(U) U)^-1 b.
template <typename Real>
static inline void solveCholesky(const Real* U, int n, Real* b) {
  using Vector = Vec<Real>;
  for (int p = 0; p < n; p++) {
    const Real* row = U + p * n;
    const Real y = b[p] / row[p];
    for (int x = p + 1; x < n; x++) b[x] -= y * row[x];
    b[p] = y;
  }
  for (int p = n - 1; p >= 0; p--) {
    const Real* row = U + p * n;
    Real sum = 0;
    int x = p + 1;
    for (; x % Vector::width != 0; x++) sum += row[x] * b[x];
    Vector sums = Vector::zero();
    for (; x < n; x += Vector::width) sums = sums + Vector::load(row + x) * Vector::load(b + x);
    b[p] = (b[p] - sum - sums.sum()) / row[p];
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
