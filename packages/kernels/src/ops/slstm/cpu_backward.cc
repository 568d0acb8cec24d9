#include "cpu_head.h"

// Backpropagation through time.

namespace longscan {
namespace LONGSCAN_LEVEL {

/// One token back: `adjoint` is that of the state after it and becomes that of c and n before it; dSums those
/// of its gates. m is a scale, not a variable: nothing depends on it, so it has no gradient.
template <typename Real>
static inline void stepBack(const Real* sums, const Real* cell, const Real* before, int Np, Real* adjoint,
                            Real* dSums) {
  using Vector = Vec<Real>;
  const Vector one = Vector::set(1);
  for (int x = 0; x < Np; x += Vector::width) {
    const auto gate = [&](SlstmGate g) { return Vector::load(sums + g * Np + x); };
    const auto row = [&](const Real* rows, SlstmRow r) { return Vector::load(rows + r * Np + x); };
    const Vector m = row(cell, mRow), n = row(cell, nRow), dh = row(adjoint, hRow);
    const SigmoidPair<Real> out = vsigmoidPair(gate(outputGate)), forget = vsigmoidPair(gate(forgetGate));
    const Vector mean = row(cell, cRow) / n, perUnit = dh * out.plus / n;
    const Vector dc = row(adjoint, cRow) + perUnit, dn = row(adjoint, nRow) - perUnit * mean;
    const Vector kept = vexp(vlogSigmoid(gate(forgetGate)) + row(before, mRow) - m);
    const Vector added = vexp(gate(inputGate) - m), z = vtanh(gate(cellGate));
    (added * (dc * z + dn)).store(dSums + inputGate * Np + x);
    (kept * forget.minus * (dc * row(before, cRow) + dn * row(before, nRow)))
        .store(dSums + forgetGate * Np + x);
    (added * dc * (one - z) * (one + z)).store(dSums + cellGate * Np + x);
    (dh * mean * out.plus * out.minus).store(dSums + outputGate * Np + x);
    (kept * dc).store(adjoint + cRow * Np + x);
    (kept * dn).store(adjoint + nRow * Np + x);
  }
}

/// The state that a token finds, into `before`.
template <typename Real>
static inline void loadBefore(const SlstmBackward<Real>& task, const SlstmHead<Real>& head, int64_t t,
                              SlstmScratch<Real>& s) {
  const int N = task.call.N, Np = s.Np;
  const bool isFirst = head.tiles().startsDocument(t);
  if (isFirst || t == 0) {
    const Real* h0 = isFirst || task.h0 == nullptr ? nullptr : task.h0 + head.stateOffset();
    loadSlstmState(h0, N, s.before, Np);
    return;
  }
  const int64_t at = head.at(t - 1);
  padRows(task.cells + at * hRow * N, hRow, N, s.before, Np);
  padRows(task.h + at * N, 1, N, s.before + hRow * Np, Np);
}

template <typename Real>
static void loadWeights(const Slstm<Real>& c, int64_t h, SlstmScratch<Real>& s) {
  const int N = c.N, Np = s.Np, cols = numGates * Np;
  padRows(c.recurrent + h * N * numGates * N, N * numGates, N, s.recurrent, Np);
  for (int i = 0; i < N; i++) {
    for (int x = 0; x < cols; x++) s.transposed[x * Np + i] = s.recurrent[i * cols + x];
  }
  for (int x = 0; x < Np * cols; x++) s.dRecurrent[x] = 0;
}

template <typename Real>
static void backwardSlstmHead(const SlstmBackward<Real>& task, int64_t index, SlstmScratch<Real>& s) {
  const Slstm<Real>& c = task.call;
  const SlstmHead<Real> head(c, index);
  const DocumentTiles tiles = head.tiles();
  const int N = c.N, Np = s.Np, cols = numGates * Np;
  Real* adjoint = s.state;
  loadWeights(c, head.h, s);
  for (int x = 0; x < numRows * Np; x++) adjoint[x] = 0;
  if (task.dht != nullptr) padRows(task.dht + head.stateOffset(), numRows, N, adjoint, Np);
  for (int64_t end = c.T; end > 0;) {
    const Tile tile = tiles.before(end);
    for (int i = 0; i < L * cols; i++) s.dSums[i] = 0;
    for (int i = 0; i < L * Np; i++) s.previous[i] = 0;
    for (int i = tile.numTokens - 1; i >= 0; i--) {
      const int64_t t = tile.token + i, at = head.at(t);
      Real* dSums = s.dSums + i * cols;
      loadBefore(task, head, t, s);
      padRows(task.sums + at * numGates * N, numGates, N, s.sums, Np);
      padRows(task.cells + at * hRow * N, hRow, N, s.cell, Np);
      // No unit, but nothing to divide zero by.
      for (int x = N; x < Np; x++) s.cell[nRow * Np + x] = 1;
      for (int x = 0; x < N; x++) {
        adjoint[hRow * Np + x] += task.dH[at * N + x];
        s.previous[i * Np + x] = s.before[hRow * Np + x];
      }
      stepBack(s.sums, s.cell, s.before, Np, adjoint, dSums);
      for (int x = 0; x < Np; x++) adjoint[hRow * Np + x] = 0;
      addProduct(dSums, cols, s.transposed, Np, adjoint + hRow * Np);
      narrowRows(dSums, Np, numGates, N, task.dGates + at * numGates * N);
    }
    multiply<Real, Old::add>(Np, cols, L, s.previous, 1, Np, s.dSums, cols, s.dRecurrent, cols);
    if (tile.reset) {
      // What came before this document had no part in it.
      for (int x = 0; x < numRows * Np; x++) adjoint[x] = 0;
    }
    end = tile.token;
  }
  narrowRows(s.dRecurrent, Np, N * numGates, N, task.dRecurrent + index * N * numGates * N);
  for (int x = 0; x < Np; x++) adjoint[mRow * Np + x] = 0;
  if (task.dh0 != nullptr) narrowRows(adjoint, Np, numRows, N, task.dh0 + head.stateOffset());
}

template <typename Real>
static void backwardSlstmHeads(const SlstmBackward<Real>& task, int64_t begin, int64_t end, void* scratch) {
  SlstmScratch<Real> s(scratch, task.call.N);
  for (int64_t i = begin; i < end; i++) backwardSlstmHead(task, i, s);
}

void slstmBackward(const SlstmBackward<float>& task, int64_t begin, int64_t end, void* scratch) {
  backwardSlstmHeads(task, begin, end, scratch);
}
void slstmBackward(const SlstmBackward<double>& task, int64_t begin, int64_t end, void* scratch) {
  backwardSlstmHeads(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
