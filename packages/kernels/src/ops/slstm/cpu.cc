#include "cpu_head.h"

// Forward: token by token, since the gates read the h before.

namespace longscan {
namespace LONGSCAN_LEVEL {

/// state <- the state after a token with these sums of its gates.
template <typename Real>
static inline void stepCells(const Real* sums, int Np, Real* state) {
  using Vector = Vec<Real>;
  for (int x = 0; x < Np; x += Vector::width) {
    const auto gate = [&](SlstmGate g) { return Vector::load(sums + g * Np + x); };
    const Vector keep = vlogSigmoid(gate(forgetGate)) + Vector::load(state + mRow * Np + x);
    const Vector m = vmax(keep, gate(inputGate));
    const Vector kept = vexp(keep - m), added = vexp(gate(inputGate) - m);
    const Vector c = kept * Vector::load(state + cRow * Np + x) + added * vtanh(gate(cellGate));
    const Vector n = kept * Vector::load(state + nRow * Np + x) + added;
    c.store(state + cRow * Np + x);
    n.store(state + nRow * Np + x);
    m.store(state + mRow * Np + x);
    (vsigmoid(gate(outputGate)) * c / n).store(state + hRow * Np + x);
  }
}

template <typename Real>
static void forwardSlstmHead(const SlstmForward<Real>& task, int64_t index, SlstmScratch<Real>& s) {
  const Slstm<Real>& c = task.call;
  const SlstmHead<Real> head(c, index);
  const DocumentTiles tiles = head.tiles();
  const int N = c.N, Np = s.Np;
  padRows(c.recurrent + head.h * N * numGates * N, N * numGates, N, s.recurrent, Np);
  loadSlstmState(task.h0 == nullptr ? nullptr : task.h0 + head.stateOffset(), N, s.state, Np);
  for (int64_t t = 0; t < c.T; t++) {
    const int64_t at = head.at(t);
    if (tiles.startsDocument(t)) loadSlstmState<Real>(nullptr, N, s.state, Np);
    padRows(c.gates + at * numGates * N, numGates, N, s.sums, Np);
    addProduct(s.state + hRow * Np, N, s.recurrent, numGates * Np, s.sums);
    stepCells(s.sums, Np, s.state);
    narrowRows(s.sums, Np, numGates, N, task.sums + at * numGates * N);
    narrowRows(s.state, Np, hRow, N, task.cells + at * hRow * N);
    narrowRows(s.state + hRow * Np, Np, 1, N, task.h + at * N);
  }
  narrowRows(s.state, Np, numRows, N, task.state + head.stateOffset());
}

template <typename Real>
static void forwardSlstmHeads(const SlstmForward<Real>& task, int64_t begin, int64_t end, void* scratch) {
  SlstmScratch<Real> s(scratch, task.call.N);
  for (int64_t i = begin; i < end; i++) forwardSlstmHead(task, i, s);
}

void slstmForward(const SlstmForward<float>& task, int64_t begin, int64_t end, void* scratch) {
  forwardSlstmHeads(task, begin, end, scratch);
}
void slstmForward(const SlstmForward<double>& task, int64_t begin, int64_t end, void* scratch) {
  forwardSlstmHeads(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
