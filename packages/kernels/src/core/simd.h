#pragma once

// Fixed-width vectors for the kernels that are compiled once per instruction-set level (LONGSCAN_LEVEL).
// Included by `cpu.cc` files only. These files use nothing from the standard library but <cmath> and
// <cstdint>: an inline function compiled here for x86-64-v4 could otherwise be the copy that the linker keeps
// for everybody.

#include <cmath>
#include <cstdint>
#include <cstring>

namespace longscan {
namespace LONGSCAN_LEVEL {

#if defined(__AVX512F__)
constexpr int vectorBytes = 64;
#elif defined(__AVX2__)
constexpr int vectorBytes = 32;
#else
constexpr int vectorBytes = 16;
#endif

template <typename T>
struct Vec {
  static constexpr int width = vectorBytes / static_cast<int>(sizeof(T));
  typedef T Native __attribute__((vector_size(vectorBytes)));
  Native v;

  static inline Vec load(const T* p) {
    Vec r;
    __builtin_memcpy(&r.v, p, sizeof(Native));
    return r;
  }
  /// x - 0 is x for every x, so the compiler emits a broadcast; x + 0 would be an addition (it turns -0 into
  /// 0).
  static inline Vec set(T x) { return Vec{x - Native{}}; }
  static inline Vec zero() { return Vec{Native{}}; }
  inline void store(T* p) const { __builtin_memcpy(p, &v, sizeof(Native)); }

  /// The first `n` of `width` elements; the others are zero. Never reads past `p + n`.
  static inline Vec loadFirst(const T* p, int n) {
    Vec r = zero();
    for (int i = 0; i < n; i++) r.v[i] = p[i];
    return r;
  }
  inline void storeFirst(T* p, int n) const {
    for (int i = 0; i < n; i++) p[i] = v[i];
  }
  inline T sum() const {
    T s[width];
    __builtin_memcpy(s, &v, sizeof(Native));
    for (int half = width / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; i++) s[i] += s[i + half];
    }
    return s[0];
  }
  friend inline Vec operator+(Vec a, Vec b) { return Vec{a.v + b.v}; }
  friend inline Vec operator-(Vec a, Vec b) { return Vec{a.v - b.v}; }
  friend inline Vec operator*(Vec a, Vec b) { return Vec{a.v * b.v}; }
  friend inline Vec operator/(Vec a, Vec b) { return Vec{a.v / b.v}; }
};

template <typename T>
static inline Vec<T> vmin(Vec<T> a, Vec<T> b) {
  return Vec<T>{a.v < b.v ? a.v : b.v};
}
template <typename T>
static inline Vec<T> vmax(Vec<T> a, Vec<T> b) {
  return Vec<T>{a.v > b.v ? a.v : b.v};
}

/// e^x. f32: relative error below 2 ulp on [-87, 88], exactly 0 below -87.34, infinity above 88.72. NaN stays
/// NaN.
static inline Vec<float> vexp(Vec<float> x) {
  typedef int32_t Int __attribute__((vector_size(vectorBytes)));
  using V = Vec<float>;
  const V clamped = vmax(vmin(x, V::set(88.5f)), V::set(-87.4f));
  const V magic = V::set(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const V n = (clamped * V::set(1.44269504088896341f) + magic) - magic;
  // Cody-Waite: ln 2 in two parts, so the remainder keeps its low bits.
  V r = clamped - n * V::set(0.693359375f);
  r = r - n * V::set(-2.12194440e-4f);
  V p = V::set(1.9875691500e-4f);
  p = p * r + V::set(1.3981999507e-3f);
  p = p * r + V::set(8.3334519073e-3f);
  p = p * r + V::set(4.1665795894e-2f);
  p = p * r + V::set(1.6666665459e-1f);
  p = p * r + V::set(5.0000001201e-1f);
  p = p * r * r + r + V::set(1.0f);
  const Int scale = (__builtin_convertvector(n.v, Int) + 127) << 23;
  V::Native factor;
  __builtin_memcpy(&factor, &scale, sizeof(factor));
  V y = p * V{factor};
  y.v = x.v < -87.33654f ? V::Native{} : y.v;
  y.v = x.v > 88.72283f ? V::Native{} + INFINITY : y.v;
  y.v = x.v == x.v ? y.v : x.v;
  return y;
}

static inline Vec<double> vexp(Vec<double> x) {
  Vec<double> y;
  for (int i = 0; i < Vec<double>::width; i++) y.v[i] = std::exp(x.v[i]);
  return y;
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
