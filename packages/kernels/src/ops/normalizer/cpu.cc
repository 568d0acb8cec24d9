#include "../../core/simd.h"
#include "normalizer.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// z itself unless it is within eps of zero; NaN stays NaN.
template <typename T>
static inline T guarded(T z, T eps) {
  return std::fabs(z) < eps ? (z < T(0) ? -eps : eps) : z;
}

template <typename T>
static inline T dot(const T* a, const T* b, int64_t count) {
  using V = Vec<T>;
  V sum = V::zero();
  int64_t i = 0;
  for (; i + V::width <= count; i += V::width) sum = sum + V::load(a + i) * V::load(b + i);
  const int rest = static_cast<int>(count - i);
  sum = sum + V::loadFirst(a + i, rest) * V::loadFirst(b + i, rest);
  return sum.sum();
}

template <typename T>
static inline void widen(const T* v, T* wide, int64_t cols, T last, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    for (int64_t i = 0; i < cols; i++) wide[row * (cols + 1) + i] = v[row * cols + i];
    wide[row * (cols + 1) + cols] = last;
  }
}

template <typename T>
static inline void narrow(const T* wide, T* v, int64_t cols, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    for (int64_t i = 0; i < cols; i++) v[row * cols + i] = wide[row * (cols + 1) + i];
  }
}

template <typename T>
static inline void forward(const T* o, T* y, int64_t cols, T eps, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const T* source = o + row * (cols + 1);
    const T inverse = T(1) / guarded(source[cols], eps);
    for (int64_t i = 0; i < cols; i++) y[row * cols + i] = source[i] * inverse;
  }
}

/// d_o[:cols] = dy / z and dz = -(dy · o) / z², but 0 where the guard holds z.
template <typename T>
static inline void backward(const T* dy, const T* o, T* d_o, int64_t cols, T eps, int64_t begin,
                            int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const T* source = o + row * (cols + 1);
    const T* gradient = dy + row * cols;
    T* target = d_o + row * (cols + 1);
    const T z = source[cols];
    const T inverse = T(1) / guarded(z, eps);
    for (int64_t i = 0; i < cols; i++) target[i] = gradient[i] * inverse;
    target[cols] = std::fabs(z) < eps ? T(0) : -dot(gradient, source, cols) * inverse * inverse;
  }
}

void widenRows(const float* v, float* wide, int64_t cols, float last, int64_t begin, int64_t end) {
  widen(v, wide, cols, last, begin, end);
}

void widenRows(const double* v, double* wide, int64_t cols, double last, int64_t begin, int64_t end) {
  widen(v, wide, cols, last, begin, end);
}

void narrowRows(const float* wide, float* v, int64_t cols, int64_t begin, int64_t end) {
  narrow(wide, v, cols, begin, end);
}

void narrowRows(const double* wide, double* v, int64_t cols, int64_t begin, int64_t end) {
  narrow(wide, v, cols, begin, end);
}

void normalizeForward(const float* o, float* y, int64_t cols, float eps, int64_t begin, int64_t end) {
  forward(o, y, cols, eps, begin, end);
}

void normalizeForward(const double* o, double* y, int64_t cols, double eps, int64_t begin, int64_t end) {
  forward(o, y, cols, eps, begin, end);
}

void normalizeBackward(const float* dy, const float* o, float* d_o, int64_t cols, float eps, int64_t begin,
                       int64_t end) {
  backward(dy, o, d_o, cols, eps, begin, end);
}

void normalizeBackward(const double* dy, const double* o, double* d_o, int64_t cols, double eps,
                       int64_t begin, int64_t end) {
  backward(dy, o, d_o, cols, eps, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
