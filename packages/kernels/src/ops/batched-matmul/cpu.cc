#include "../../core/simd.h"
#include "batched_matmul.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// y[0, n) += factor * x[0, n)
template <typename T>
static inline void addScaled(T factor, const T* x, T* y, int64_t n) {
  using V = Vec<T>;
  const V f = V::set(factor);
  int64_t j = 0;
  for (; j + V::width <= n; j += V::width) (V::load(y + j) + f * V::load(x + j)).store(y + j);
  for (; j < n; j++) y[j] += factor * x[j];
}

/// Σ_p x[p · stride] y[p]
template <typename T>
static inline T dot(const T* x, int64_t stride, const T* y, int64_t k) {
  T sum = 0;
  int64_t p = 0;
  if (stride == 1) {
    using V = Vec<T>;
    V sums = V::zero();
    for (; p + V::width <= k; p += V::width) sums = sums + V::load(x + p) * V::load(y + p);
    sum = sums.sum();
  }
  for (; p < k; p++) sum += x[p * stride] * y[p];
  return sum;
}

template <typename T>
static inline void multiply(bool transA, bool transB, int64_t m, int64_t n, int64_t k, const T* a, const T* b,
                            T* c) {
  // Element (i, p) of op(a) is a[i * rowStep + p * columnStep].
  const int64_t rowStep = transA ? 1 : k;
  const int64_t columnStep = transA ? m : 1;
  for (int64_t i = 0; i < m; i++) {
    T* row = c + i * n;
    const T* left = a + i * rowStep;
    if (transB) {
      for (int64_t j = 0; j < n; j++) row[j] = dot(left, columnStep, b + j * k, k);
    } else {
      for (int64_t j = 0; j < n; j++) row[j] = 0;
      for (int64_t p = 0; p < k; p++) addScaled(left[p * columnStep], b + p * n, row, n);
    }
  }
}

template <typename T>
static inline void multiplyBatch(bool transA, bool transB, int64_t m, int64_t n, int64_t k, const T* a,
                                 const T* b, T* c, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) {
    multiply(transA, transB, m, n, k, a + i * m * k, b + i * k * n, c + i * m * n);
  }
}

void batchedMatmul(bool transA, bool transB, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                   float* c, int64_t begin, int64_t end) {
  multiplyBatch(transA, transB, m, n, k, a, b, c, begin, end);
}

void batchedMatmul(bool transA, bool transB, int64_t m, int64_t n, int64_t k, const double* a,
                   const double* b, double* c, int64_t begin, int64_t end) {
  multiplyBatch(transA, transB, m, n, k, a, b, c, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
