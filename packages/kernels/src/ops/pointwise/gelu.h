#pragma once

// x Φ(x), its approximation by tanh, and their slopes. f32 is computed in f64 vectors with polynomials good
// to 1e-9: in f32 arithmetic the exponent of a tail would lose its bits. f64 goes lane by lane through
// <cmath>.

#include "vector_math.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// f on the two halves of an f32 vector, widened to f64.
template <typename F>
static inline Vec<float> mapWide(Vec<float> x, F f) {
  typedef float Half __attribute__((vector_size(vectorBytes / 2)));
  Half halves[2];
  __builtin_memcpy(halves, &x.v, sizeof(halves));
  for (Half& half : halves) {
    const Vec<double> wide{__builtin_convertvector(half, Vec<double>::Native)};
    half = __builtin_convertvector(f(wide).v, Half);
  }
  Vec<float> y;
  __builtin_memcpy(&y.v, halves, sizeof(halves));
  return y;
}

/// e^x within 1e-9, for x from -700 to 700 (what lies beyond counts as these). NaN stays NaN.
static inline Vec<double> vexpShort(Vec<double> x) {
  typedef int64_t Int __attribute__((vector_size(vectorBytes)));
  using V = Vec<double>;
  V y{x.v < -700.0 ? V::set(-700.0).v : x.v};
  y.v = y.v > 700.0 ? V::set(700.0).v : y.v;
  // Adding 1.5 * 2^52 rounds to an integer, which then stands in the low bits.
  const V magic = V::set(6755399441055744.0);
  const V shifted = y * V::set(1.4426950408889634) + magic;
  const V r = y - (shifted - magic) * V::set(0.6931471805599453);
  constexpr double inverseFactorials[] = {1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24,
                                          1.0 / 6,     1.0 / 2,    1.0,       1.0};
  V p = V::zero();
  for (const double coefficient : inverseFactorials) p = p * r + V::set(coefficient);
  Int bits;
  __builtin_memcpy(&bits, &shifted.v, sizeof(bits));
  const Int scale = (bits << 52) + (int64_t{1023} << 52);
  V factor;
  __builtin_memcpy(&factor.v, &scale, sizeof(scale));
  return p * factor;
}

struct Normal {
  Vec<double> distribution;
  Vec<double> density;
};

/// Φ(x) and φ(x), within 1e-9 of their values.
static inline Normal normalOf(Vec<double> x) {
  using V = Vec<double>;
  const V z = vabs(x);
  const V gauss = vexpShort(V::set(-0.5) * x * x);
  // Φ(-z) e^(z²/2) = t P(t), t = 1 / (1 + z/4): fitted for the least relative error on z in [0, 14]; beyond,
  // e^(-z²/2) is zero in f32.
  const V t = V::set(1.0) / (V::set(1.0) + V::set(0.25) * z);
  constexpr double coefficients[] = {-0.012190886038143051, 0.08975474251698529,  -0.25588088396506453,
                                     0.3461573840260428,    -0.25864868257141094, 0.19931583770667435,
                                     0.004867065135242553,  0.09583919011452308,  0.09109780347624111,
                                     0.0999622795139963,    0.09972615060383408};
  V p = V::zero();
  for (const double coefficient : coefficients) p = p * t + V::set(coefficient);
  const V tail = t * p * gauss;
  return {V{x.v > 0.0 ? 1.0 - tail.v : tail.v}, V::set(0.39894228040143268) * gauss};
}

static inline Vec<float> vgelu(Vec<float> x) {
  return mapWide(x, [](Vec<double> z) { return z * normalOf(z).distribution; });
}

static inline Vec<float> vgeluSlope(Vec<float> x) {
  return mapWide(x, [](Vec<double> z) {
    const Normal normal = normalOf(z);
    return normal.distribution + z * normal.density;
  });
}

/// f lane by lane.
template <typename F>
static inline Vec<double> mapLanes(Vec<double> x, F f) {
  Vec<double> y;
  for (int i = 0; i < Vec<double>::width; i++) y.v[i] = f(x.v[i]);
  return y;
}

static inline double normalDistribution(double x) {
  return 0.5 * std::erfc(-0.70710678118654752 * x);
}

static inline Vec<double> vgelu(Vec<double> x) {
  return mapLanes(x, [](double z) { return z * normalDistribution(z); });
}

static inline Vec<double> vgeluSlope(Vec<double> x) {
  return mapLanes(
      x, [](double z) { return normalDistribution(z) + z * 0.39894228040143268 * std::exp(-0.5 * z * z); });
}

// (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³), written as σ(2u): 1 + tanh has no bits left at negative
// u.
constexpr double geluTanhSlope = 1.5957691216057308;
constexpr double geluTanhCubic = 0.044715;

template <typename Exp>
static inline Vec<double> geluTanhGate(Vec<double> x, Exp exp) {
  using V = Vec<double>;
  const V one = V::set(1.0);
  const V logit = V::set(geluTanhSlope) * x * (one + V::set(geluTanhCubic) * x * x);
  return one / (one + exp(V::zero() - logit));
}

template <typename Exp>
static inline Vec<double> geluTanhDerivative(Vec<double> x, Exp exp) {
  using V = Vec<double>;
  const V one = V::set(1.0);
  const V gate = geluTanhGate(x, exp);
  const V logitSlope = V::set(geluTanhSlope) * (one + V::set(3.0 * geluTanhCubic) * x * x);
  return gate + x * gate * (one - gate) * logitSlope;
}

static inline Vec<float> vgeluTanh(Vec<float> x) {
  return mapWide(x, [](Vec<double> z) { return z * geluTanhGate(z, vexpShort); });
}

static inline Vec<float> vgeluTanhSlope(Vec<float> x) {
  return mapWide(x, [](Vec<double> z) { return geluTanhDerivative(z, vexpShort); });
}

static inline Vec<double> vgeluTanh(Vec<double> x) {
  return x * geluTanhGate(x, [](Vec<double> z) { return vexp(z); });
}

static inline Vec<double> vgeluTanhSlope(Vec<double> x) {
  return geluTanhDerivative(x, [](Vec<double> z) { return vexp(z); });
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
