#pragma once

// Elementary functions on vectors, beyond core/simd.h. NaN stays NaN in all of them: a poisoned input must
// show.

#include "../../core/simd.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline Vec<T> vabs(Vec<T> x) {
  return Vec<T>{x.v < T(0) ? -x.v : x.v};
}

/// 1 / (1 + e^-x), within a few ulp for every x.
template <typename T>
static inline Vec<T> vsigmoid(Vec<T> x) {
  const Vec<T> one = Vec<T>::set(T(1));
  return one / (one + vexp(Vec<T>::zero() - x));
}

/// σ(x) and σ(-x) from one exponential; each keeps its relative accuracy at large |x| of either sign.
template <typename T>
struct SigmoidPair {
  Vec<T> plus;
  Vec<T> minus;
};

template <typename T>
static inline SigmoidPair<T> vsigmoidPair(Vec<T> x) {
  const Vec<T> e = vexp(Vec<T>::zero() - vabs(x));
  const Vec<T> large = Vec<T>::set(T(1)) / (Vec<T>::set(T(1)) + e);
  const Vec<T> small = e * large;
  return {Vec<T>{x.v < T(0) ? small.v : large.v}, Vec<T>{x.v < T(0) ? large.v : small.v}};
}

/// log(1 + f) - f for f in [-0.293, 0.4143], by the coefficients of Cephes' logf (Moshier).
static inline Vec<float> logRemainder(Vec<float> f) {
  using V = Vec<float>;
  const V z = f * f;
  V p = V::set(7.0376836292e-2f);
  p = p * f + V::set(-1.1514610310e-1f);
  p = p * f + V::set(1.1676998740e-1f);
  p = p * f + V::set(-1.2420140846e-1f);
  p = p * f + V::set(1.4249322787e-1f);
  p = p * f + V::set(-1.6668057665e-1f);
  p = p * f + V::set(2.0000714765e-1f);
  p = p * f + V::set(-2.4999993993e-1f);
  p = p * f + V::set(3.3333331174e-1f);
  return p * f * z - z * V::set(0.5f);
}

// ln 2 in two parts, of which the large one has few bits: its product with an exponent is exact.
constexpr float ln2High = 0.693359375f;
constexpr float ln2Low = -2.12194440e-4f;

/// log(1 + x) for x in [0, 1], within 2 ulp (also for tiny x).
static inline Vec<float> vlog1p(Vec<float> x) {
  using V = Vec<float>;
  // 1 + x = 2 (1 + f) with f in [-0.293, 0] where x is large, else f = x.
  const auto large = x.v > 0.41421356f;
  const V f{large ? (x.v - 1.0f) * 0.5f : x.v};
  const V high{large ? V::Native{} + ln2High : V::Native{}};
  const V low{large ? V::Native{} + ln2Low : V::Native{}};
  // The small parts first.
  return high + ((logRemainder(f) + f) + low);
}

static inline Vec<double> vlog1p(Vec<double> x) {
  Vec<double> y;
  for (int i = 0; i < Vec<double>::width; i++) y.v[i] = std::log1p(x.v[i]);
  return y;
}

/// log x, within 2 ulp; -infinity for zero (and for denormals, which compute threads flush), NaN below.
static inline Vec<float> vlog(Vec<float> x) {
  typedef int32_t Int __attribute__((vector_size(vectorBytes)));
  using V = Vec<float>;
  Int bits;
  __builtin_memcpy(&bits, &x.v, sizeof(bits));
  // x = 2^exponent m with m in [1/2, 1), then m in [√½, √2).
  const Int exponent = (bits >> 23) - 126;
  const Int fraction = (bits & 0x007fffff) | 0x3f000000;
  V m;
  __builtin_memcpy(&m.v, &fraction, sizeof(m.v));
  const auto small = m.v < 0.70710678f;
  const V f{small ? (m.v + m.v) - 1.0f : m.v - 1.0f};
  V e{__builtin_convertvector(exponent, V::Native)};
  e.v = small ? e.v - 1.0f : e.v;
  V y = (logRemainder(f) + e * V::set(ln2Low)) + f;
  y = y + e * V::set(ln2High);
  y.v = x.v < 1.17549435e-38f ? V::Native{} - INFINITY : y.v;
  y.v = x.v < 0.0f ? V::Native{} + NAN : y.v;
  y.v = x.v <= 3.40282347e38f ? y.v : x.v;
  return y;
}

static inline Vec<double> vlog(Vec<double> x) {
  Vec<double> y;
  for (int i = 0; i < Vec<double>::width; i++) y.v[i] = std::log(x.v[i]);
  return y;
}

/// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
template <typename T>
static inline Vec<T> vsoftplus(Vec<T> x) {
  const Vec<T> positive{x.v < T(0) ? x.v * T(0) : x.v};
  return positive + vlog1p(vexp(Vec<T>::zero() - vabs(x)));
}

/// log(sigmoid(x)) = min(x, 0) - log(1 + e^-|x|): neither 0 nor -infinity where the exact value is not.
template <typename T>
static inline Vec<T> vlogSigmoid(Vec<T> x) {
  const Vec<T> negative{x.v < T(0) ? x.v : x.v * T(0)};
  return negative - vlog1p(vexp(Vec<T>::zero() - vabs(x)));
}

static inline Vec<float> vtanh(Vec<float> x) {
  using V = Vec<float>;
  const V one = V::set(1.0f);
  const V magnitude = vabs(x);
  const V e = vexp(V::set(-2.0f) * magnitude);
  const V tail = (one - e) / (one + e);
  // 1 - e loses bits near zero; there Cephes' tanhf polynomial.
  const V z = x * x;
  V p = V::set(-5.70498872745e-3f);
  p = p * z + V::set(2.06390887954e-2f);
  p = p * z + V::set(-5.37397155531e-2f);
  p = p * z + V::set(1.33314422036e-1f);
  p = p * z + V::set(-3.33332819422e-1f);
  const V near = p * z * x + x;
  V y{x.v < 0.0f ? -tail.v : tail.v};
  y.v = magnitude.v < 0.625f ? near.v : y.v;
  return y;
}

static inline Vec<double> vtanh(Vec<double> x) {
  Vec<double> y;
  for (int i = 0; i < Vec<double>::width; i++) y.v[i] = std::tanh(x.v[i]);
  return y;
}

/// y[i] = f(x[i]) for i in [begin, end); the tail goes through the same code as the body.
template <typename T, typename F>
static inline void mapVectors(const T* x, T* y, int64_t begin, int64_t end, F f) {
  using V = Vec<T>;
  int64_t i = begin;
  for (; i + V::width <= end; i += V::width) f(V::load(x + i)).store(y + i);
  const int rest = static_cast<int>(end - i);
  if (rest > 0) f(V::loadFirst(x + i, rest)).storeFirst(y + i, rest);
}

/// y[i] = f(a[i], b[i])
template <typename T, typename F>
static inline void mapVectors(const T* a, const T* b, T* y, int64_t begin, int64_t end, F f) {
  using V = Vec<T>;
  int64_t i = begin;
  for (; i + V::width <= end; i += V::width) f(V::load(a + i), V::load(b + i)).store(y + i);
  const int rest = static_cast<int>(end - i);
  if (rest > 0) f(V::loadFirst(a + i, rest), V::loadFirst(b + i, rest)).storeFirst(y + i, rest);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
