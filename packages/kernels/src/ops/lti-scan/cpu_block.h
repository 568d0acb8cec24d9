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

/// u, y or a gradient of theirs at one row: without imaginary parts in a real call.
template <typename Real>
static inline Complex<Real> loadRow(const LtiScan<Real>& call, const Real* rows, int64_t row, int64_t c,
                                    Lanes<Real> lanes) {
  if (!call.complex) return {lanes.load(rows + row * call.C + c), Vec<Real>::zero()};
  const Real* p = rows + row * 2 * call.C + c;
  return {lanes.load(p), lanes.load(p + call.C)};
}

template <typename Real>
static inline void storeRow(const LtiScan<Real>& call, Complex<Real> value, Real* rows, int64_t row,
                            int64_t c, Lanes<Real> lanes) {
  if (!call.complex) return lanes.store(value.re, rows + row * call.C + c);
  Real* p = rows + row * 2 * call.C + c;
  lanes.store(value.re, p);
  lanes.store(value.im, p + call.C);
}

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

template <typename Real>
static inline bool startsDocument(const LtiScan<Real>& call, int64_t row) {
  return call.resets != nullptr && call.resets[row] != 0;
}

template <typename Real>
static inline void setZero(Real* p, int64_t size) {
  for (int64_t i = 0; i < size; i++) p[i] = 0;
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
