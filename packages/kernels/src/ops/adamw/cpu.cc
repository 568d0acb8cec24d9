#include "adamw.h"

#include <cmath>

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline void update(const AdamwStep& step, T* __restrict__ parameter, const T* __restrict__ gradient,
                          T* __restrict__ m, T* __restrict__ v, int64_t begin, int64_t end) {
  const T factor = static_cast<T>(step.gradientFactor);
  const T beta1 = static_cast<T>(step.beta1);
  const T beta2 = static_cast<T>(step.beta2);
  // 1 - beta in f64 first: 1 - 0.999f is off in the fifth digit.
  const T rest1 = static_cast<T>(1 - step.beta1);
  const T rest2 = static_cast<T>(1 - step.beta2);
  const T rate = static_cast<T>(step.learningRate * step.correction1);
  const T correction2 = static_cast<T>(step.correction2);
  const T eps = static_cast<T>(step.eps);
  const T decay = static_cast<T>(step.learningRate * step.weightDecay);
  for (int64_t i = begin; i < end; i++) {
    const T g = gradient[i] * factor;
    const T first = beta1 * m[i] + rest1 * g;
    const T second = beta2 * v[i] + rest2 * g * g;
    m[i] = first;
    v[i] = second;
    const T p = parameter[i];
    // p - decay * p and not p * (1 - decay): a small decay must not be rounded into the factor.
    parameter[i] = p - (decay * p + rate * first / (std::sqrt(second * correction2) + eps));
  }
}

void adamwUpdate(const AdamwStep& step, float* parameter, const float* gradient, float* m, float* v,
                 int64_t begin, int64_t end) {
  update(step, parameter, gradient, m, v, begin, end);
}

void adamwUpdate(const AdamwStep& step, double* parameter, const double* gradient, double* m, double* v,
                 int64_t begin, int64_t end) {
  update(step, parameter, gradient, m, v, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
