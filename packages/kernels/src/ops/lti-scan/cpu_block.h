#pragma once

#include "../../core/lanes.h"
#include "lti_scan.h"

// What the sweeps of this folder share: complex numbers of one block of channels. In scratch a complex number
// per channel is two vectors, [2, width]; N of them [N, 2, width].

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
struct Complex {
  Vec<Real> re, im;

  static Complex load(const Real* p) { return {Vec<Real>::load(p), Vec<Real>::load(p + Vec<Real>::width)}; }
  void store(Real* p) const {
    re.store(p);
    im.store(p + Vec<Real>::width);
  }
  static Complex zero() { return {Vec<Real>::zero(), Vec<Real>::zero()}; }
  friend Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend Complex operator*(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  /// conj(a) * b
  static Complex conjugateTimes(Complex a, Complex b) {
    return {a.re * b.re + a.im * b.im, a.re * b.im - a.im * b.re};
  }
};

/// What a call does with its signals u and y, and with their gradients. In a real call these have no
/// imaginary parts, and no arithmetic is spent on them.
template <bool isComplex, typename Real>
struct Signal {
  using C = Complex<Real>;

  static C load(const LtiScan<Real>& call, const Real* rows, int64_t row, int64_t c, Lanes<Real> lanes) {
    if (!isComplex) return {lanes.load(rows + row * call.C + c), Vec<Real>::zero()};
    const Real* p = rows + row * 2 * call.C + c;
    return {lanes.load(p), lanes.load(p + call.C)};
  }
  static void store(const LtiScan<Real>& call, C value, Real* rows, int64_t row, int64_t c,
                    Lanes<Real> lanes) {
    if (!isComplex) return lanes.store(value.re, rows + row * call.C + c);
    Real* p = rows + row * 2 * call.C + c;
    lanes.store(value.re, p);
    lanes.store(value.im, p + call.C);
  }
  /// h + u
  static C add(C h, C u) { return isComplex ? h + u : C{h.re + u.re, h.im}; }
  /// conj(a) * y
  static C conjugateTimes(C a, C y) {
    return isComplex ? C::conjugateTimes(a, y) : C{a.re * y.re, Vec<Real>::zero() - a.im * y.re};
  }
};

/// λ - 1 = exp(logLambda) - 1 for each lane, [N, 2, width]. A slow mode's λ is near 1, where f32 keeps it to
/// 6e-8 a step, always in the same direction; h + (λ - 1) h rounds without a preference.
template <typename Real>
static inline void loadLambda(const LtiScan<Real>& call, int64_t c, Lanes<Real> lanes, Real* lambda) {
  constexpr int width = Vec<Real>::width;
  loadChannels(call.logLambda + c * 2 * call.N, lanes, 2 * call.N, lambda);
  for (int64_t n = 0; n < call.N; n++) {
    for (int lane = 0; lane < width; lane++) {
      Real* p = lambda + n * 2 * width + lane;
      const double re = static_cast<double>(p[0]), im = static_cast<double>(p[width]);
      const double half = std::sin(im / 2);
      p[0] = static_cast<Real>(std::expm1(re) * std::cos(im) - 2 * half * half);
      p[width] = static_cast<Real>(std::exp(re) * std::sin(im));
    }
  }
}

/// λ - 1 and w of one block, [N, 2, width], at the beginning of a thread's scratch.
template <typename Real>
struct BlockConstants {
  Real *lambda, *w;
  Real* rest;  // the scratch that is left

  BlockConstants(const LtiScan<Real>& call, int64_t c, Lanes<Real> lanes, Real* scratch) {
    const int64_t size = 2 * call.N;
    lambda = scratch;
    w = lambda + size * Vec<Real>::width;
    rest = w + size * Vec<Real>::width;
    loadLambda(call, c, lanes, lambda);
    loadChannels(call.w + c * size, lanes, size, w);
  }
};

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan

// Each block of a call, in the two types and for the two kinds of signal.
#define LONGSCAN_LTI_BLOCKS(name, Task, perBlock)                                                   \
  void name(const Task<float>& task, int64_t begin, int64_t end, float* scratch) {                  \
    forLaneBlocks<float>(task.call.C, begin, end, [&](int64_t b, int64_t c, Lanes<float> lanes) {   \
      task.call.complex ? perBlock<true>(task, b, c, lanes, scratch)                                \
                        : perBlock<false>(task, b, c, lanes, scratch);                              \
    });                                                                                             \
  }                                                                                                 \
  void name(const Task<double>& task, int64_t begin, int64_t end, double* scratch) {                \
    forLaneBlocks<double>(task.call.C, begin, end, [&](int64_t b, int64_t c, Lanes<double> lanes) { \
      task.call.complex ? perBlock<true>(task, b, c, lanes, scratch)                                \
                        : perBlock<false>(task, b, c, lanes, scratch);                              \
    });                                                                                             \
  }
