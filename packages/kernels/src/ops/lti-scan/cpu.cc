#include "cpu_block.h"

// Forward: the sweep over a slice, and the adjoint of the incoming state.

namespace longscan {
namespace LONGSCAN_LEVEL {

/// λ^T from the logarithm: T steps of rounding would not be λ^T.
template <typename Real>
static void storePower(const LtiScanForward<Real>& task, int64_t b, int64_t c, Lanes<Real> lanes) {
  const LtiScan<Real>& call = task.call;
  const double T = static_cast<double>(call.T);
  for (int64_t i = c * call.N; i < (c + lanes.count) * call.N; i++) {
    const double re = T * static_cast<double>(call.logLambda[2 * i]);
    const double im = T * static_cast<double>(call.logLambda[2 * i + 1]);
    Real* factor = task.factor + 2 * (b * call.C * call.N + i);
    factor[0] = static_cast<Real>(std::exp(re) * std::cos(im));
    factor[1] = static_cast<Real>(std::exp(re) * std::sin(im));
  }
}

template <bool isComplex, typename Real>
static void forward(const LtiScanForward<Real>& task, int64_t b, int64_t c, Lanes<Real> lanes,
                    Real* scratch) {
  using C = Complex<Real>;
  using S = Signal<isComplex, Real>;
  constexpr int pair = 2 * Vec<Real>::width;
  const LtiScan<Real>& call = task.call;
  const int64_t N = call.N;
  const BlockConstants<Real> block(call, c, lanes, scratch);
  Real* state = block.rest;
  loadChannels(task.h0 == nullptr ? nullptr : task.h0 + (b * call.C + c) * 2 * N, lanes, 2 * N, state);
  const int64_t numChunks = (call.T + ltiChunk - 1) / ltiChunk;
  for (int64_t t = 0; t < call.T; t++) {
    const int64_t row = b * call.T + t;
    if (task.checkpoints != nullptr && t % ltiChunk == 0) {
      const int64_t chunk = b * numChunks + t / ltiChunk;
      storeChannels(state, lanes, 2 * N, task.checkpoints + (chunk * call.C + c) * 2 * N);
    }
    if (startsDocument(call.resets, row)) setZero(state, N * pair);
    const C u = S::load(call, call.u, row, c, lanes);
    C y = C::zero();
    for (int64_t n = 0; n < N; n++) {
      const C h = C::load(state + n * pair);
      const C next = h + S::add(C::load(block.lambda + n * pair) * h, u);
      next.store(state + n * pair);
      y = y + C::load(block.w + n * pair) * next;
    }
    if (task.y != nullptr) S::store(call, y, task.y, row, c, lanes);
  }
  storeChannels(state, lanes, 2 * N, task.state + (b * call.C + c) * 2 * N);
  if (task.factor != nullptr) storePower(task, b, c, lanes);
}

template <bool isComplex, typename Real>
static void adjoint(const LtiScanAdjoint<Real>& task, int64_t b, int64_t c, Lanes<Real> lanes,
                    Real* scratch) {
  using C = Complex<Real>;
  using S = Signal<isComplex, Real>;
  constexpr int pair = 2 * Vec<Real>::width;
  const LtiScan<Real>& call = task.call;
  const int64_t N = call.N;
  const BlockConstants<Real> block(call, c, lanes, scratch);
  Real* state = block.rest;
  setZero(state, N * pair);
  // No later document depends on the incoming state.
  const int64_t end = numUntilStart(call.resets, b * call.T, call.T);
  for (int64_t t = end - 1; t >= 0; t--) {
    const C dy = S::load(call, task.dy, b * call.T + t, c, lanes);
    for (int64_t n = 0; n < N; n++) {
      const C total = C::load(state + n * pair) + S::conjugateTimes(C::load(block.w + n * pair), dy);
      (total + C::conjugateTimes(C::load(block.lambda + n * pair), total)).store(state + n * pair);
    }
  }
  storeChannels(state, lanes, 2 * N, task.adjoint + (b * call.C + c) * 2 * N);
}

LONGSCAN_LTI_BLOCKS(ltiScanForward, LtiScanForward, forward)
LONGSCAN_LTI_BLOCKS(ltiScanAdjoint, LtiScanAdjoint, adjoint)

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
