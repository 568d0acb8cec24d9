#pragma once

// One head of the scalar LSTM in scratch memory. Included by this folder's cpu*.cc only.

#include "../../core/tile.h"
#include "../pointwise/vector_math.h"
#include "slstm.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

enum SlstmGate { inputGate, forgetGate, cellGate, outputGate, numGates };
enum SlstmRow { cRow, nRow, mRow, hRow, numRows };

/// Pointers into one thread's scratch. Rows of units are padded to Np, rows of gates to 4 Np.
template <typename Real>
struct SlstmScratch {
  int Np;
  Real* recurrent;   // [Np, 4 Np]
  Real* transposed;  // [4 Np, Np]
  Real* dRecurrent;  // [Np, 4 Np]
  Real* state;       // [numRows, Np], or its adjoint
  Real* before;      // [numRows, Np]
  Real* cell;        // [numRows, Np]
  Real* sums;        // [4 Np]
  Real* dSums;       // [L, 4 Np]
  Real* previous;    // [L, Np], the h that the tokens of a tile found

  SlstmScratch(void* memory, int N) : Np(padded(N)) {
    Real* next = static_cast<Real*>(memory);
    auto take = [&](int count) {
      Real* p = next;
      next += count;
      for (int i = 0; i < count; i++) p[i] = 0;
      return p;
    };
    const int numWeights = numGates * Np * Np;
    recurrent = take(numWeights), transposed = take(numWeights), dRecurrent = take(numWeights);
    state = take(numRows * Np), before = take(numRows * Np), cell = take(numRows * Np);
    sums = take(numGates * Np), dSums = take(L * numGates * Np), previous = take(L * Np);
  }
};

/// One head of one batch row of a call.
template <typename Real>
struct SlstmHead {
  const Slstm<Real>& call;
  int64_t index, b, h;

  SlstmHead(const Slstm<Real>& c, int64_t i) : call(c), index(i), b(i / c.H), h(i % c.H) {}

  /// Of token t in [B, T, H].
  int64_t at(int64_t t) const { return (b * call.T + t) * call.H + h; }
  DocumentTiles tiles() const {
    return {call.resets == nullptr ? nullptr : call.resets + b * call.T, call.T};
  }
  int64_t stateOffset() const { return index * numRows * call.N; }
};

/// [rows, N] into [rows, Np], padded with zeros.
template <typename Real>
static inline void padRows(const Real* from, int rows, int N, Real* to, int Np) {
  for (int r = 0; r < rows; r++) {
    for (int x = 0; x < Np; x++) to[r * Np + x] = x < N ? from[r * N + x] : Real(0);
  }
}

/// [rows, Np] to [rows, N].
template <typename Real>
static inline void narrowRows(const Real* from, int Np, int rows, int N, Real* to) {
  for (int r = 0; r < rows; r++) {
    for (int x = 0; x < N; x++) to[r * N + x] = from[r * Np + x];
  }
}

/// `from` [numRows, N] into scratch; null gives the state before any token.
template <typename Real>
static inline void loadSlstmState(const Real* from, int N, Real* to, int Np) {
  for (int x = 0; x < numRows * Np; x++) to[x] = 0;
  if (from != nullptr) return padRows(from, numRows, N, to, Np);
  for (int x = 0; x < Np; x++) to[mRow * Np + x] = -INFINITY;
}

/// y [cols] += a [rows] B [rows, cols]; cols is a multiple of 16.
template <typename Real>
static inline void addProduct(const Real* a, int rows, const Real* B, int cols, Real* y) {
  constexpr int width = Vec<Real>::width;
  int n = 0;
  for (; n + 4 * width <= cols; n += 4 * width) {
    multiplyBlock<Real, 1, 4, Old::add>(rows, a, 0, 1, B + n, cols, y + n, cols, nullptr);
  }
  for (; n < cols; n += width) {
    multiplyBlock<Real, 1, 1, Old::add>(rows, a, 0, 1, B + n, cols, y + n, cols, nullptr);
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
