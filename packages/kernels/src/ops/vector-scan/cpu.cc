#include "../../core/lanes.h"
#include "vector_scan.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Calls body(b, begin, end) for each batch row's share of the flat channels [begin, end).
template <typename Body>
static inline void forBatchRows(int64_t C, int64_t begin, int64_t end, Body body) {
  for (int64_t i = begin; i < end;) {
    const int64_t b = i / C;
    const int64_t last = end < (b + 1) * C ? end : (b + 1) * C;
    body(b, i - b * C, last - b * C);
    i = last;
  }
}

template <typename Real>
static void forwardRow(const VectorScanForward<Real>& task, double* logSums, int64_t b, int64_t begin,
                       int64_t end) {
  using V = Vec<Real>;
  const VectorScan<Real>& call = task.call;
  Real* state = task.state + b * call.C;  // stays in the cache, unlike the outputs
  for (int64_t c = begin; c < end; c++) state[c] = task.h0 == nullptr ? Real(0) : task.h0[b * call.C + c];
  for (int64_t i = 0; logSums != nullptr && i < end - begin; i++) logSums[i] = 0;
  for (int64_t t = 0; t < call.T; t++) {
    const int64_t row = b * call.T + t;
    if (startsDocument(call.resets, row)) setZero(state + begin, end - begin);
    const Real* x = call.x + row * call.C;
    const Real* g = call.g + row * call.C;
    Real* h = task.h == nullptr ? nullptr : task.h + row * call.C;
    forLanes<Real>(begin, end, [=](int64_t c, Lanes<Real> lanes) {
      const V next = vexp(lanes.load(g + c)) * lanes.load(state + c) + lanes.load(x + c);
      lanes.store(next, state + c);
      if (h != nullptr) lanes.store(next, h + c);
    });
    for (int64_t c = begin; logSums != nullptr && c < end; c++)
      logSums[c - begin] += static_cast<double>(g[c]);
  }
}

template <typename Real>
static void backwardRow(const VectorScanBackward<Real>& task, int64_t b, int64_t begin, int64_t end) {
  using V = Vec<Real>;
  const VectorScan<Real>& call = task.call;
  Real* adjoint = task.dh0 + b * call.C;
  for (int64_t c = begin; c < end; c++) adjoint[c] = task.dht == nullptr ? Real(0) : task.dht[b * call.C + c];
  for (int64_t t = call.T - 1; t >= 0; t--) {
    const int64_t row = b * call.T + t;
    const bool starts = startsDocument(call.resets, row);
    const Real* g = call.g + row * call.C;
    const Real* dh = task.dh + row * call.C;
    // The state before token t; a document's first token has none.
    const Real* previous = starts || task.h == nullptr ? nullptr
                           : t > 0                     ? task.h + (row - 1) * call.C
                           : task.h0 != nullptr        ? task.h0 + b * call.C
                                                       : nullptr;
    Real* dx = task.h == nullptr ? nullptr : task.dx + row * call.C;
    Real* dg = task.h == nullptr ? nullptr : task.dg + row * call.C;
    forLanes<Real>(begin, end, [=](int64_t c, Lanes<Real> lanes) {
      const V total = lanes.load(adjoint + c) + lanes.load(dh + c);
      const V decayed = vexp(lanes.load(g + c)) * total;
      lanes.store(starts ? V::zero() : decayed, adjoint + c);
      if (dx == nullptr) return;
      lanes.store(total, dx + c);
      lanes.store(previous == nullptr ? V::zero() : decayed * lanes.load(previous + c), dg + c);
    });
  }
}

template <typename Real>
static inline void forward(const VectorScanForward<Real>& task, int64_t begin, int64_t end) {
  forBatchRows(task.call.C, begin, end, [&](int64_t b, int64_t first, int64_t last) {
    const int64_t done = b * task.call.C + first - begin;
    forwardRow(task, task.logSums == nullptr ? nullptr : task.logSums + done, b, first, last);
  });
}

template <typename Real>
static inline void backward(const VectorScanBackward<Real>& task, int64_t begin, int64_t end) {
  forBatchRows(task.call.C, begin, end,
               [&](int64_t b, int64_t first, int64_t last) { backwardRow(task, b, first, last); });
}

void vectorScanForward(const VectorScanForward<float>& task, int64_t begin, int64_t end) {
  forward(task, begin, end);
}

void vectorScanForward(const VectorScanForward<double>& task, int64_t begin, int64_t end) {
  forward(task, begin, end);
}

void vectorScanBackward(const VectorScanBackward<float>& task, int64_t begin, int64_t end) {
  backward(task, begin, end);
}

void vectorScanBackward(const VectorScanBackward<double>& task, int64_t begin, int64_t end) {
  backward(task, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
