#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../random/random.h"

// What a step makes of one element, for CPUs and GPUs.

namespace longscan {

/// One step's constants as the arithmetic has them.
template <typename T>
struct AdamwConstants {
  T beta1, beta2, rest1, rest2;  // rest: 1 - beta
  T rate;                        // learning rate / (1 - beta1^step)
  T correction2;                 // 1 / (1 - beta2^step)
  T eps;
  T decay;  // learning rate * weight decay
};

/// Which random numbers the moments of a step are rounded by.
struct AdamwRounding {
  RandomKey key;
  uint32_t step;
  /// Of the first element, among all of a model.
  int64_t firstElement;
};

constexpr int64_t elementsPerNoise = 4;
/// Whose gradients' squares are one part of their sum; `sumParts` in index.ts.
constexpr int64_t elementsPerSum = 1024;

/// For elements [4 block, 4 block + 4) of a model a word each: its lower half rounds m, its upper half v.
LONGSCAN_ON_BOTH inline RandomWords roundingNoise(const AdamwRounding& rounding, int64_t block) {
  const auto low = static_cast<uint32_t>(block), high = static_cast<uint32_t>(block >> 32);
  return philox({{low, high, rounding.step, 0}}, rounding.key);
}

LONGSCAN_ON_BOTH inline float widened(uint16_t bf16) {
  const uint32_t bits = static_cast<uint32_t>(bf16) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// To one of the two bf16 numbers beside it, each as probable as it is near; noise: one of 2^16 numbers. A
/// NaN is kept as one kind, since adding to its bits can carry.
LONGSCAN_ON_BOTH inline uint16_t roundedByNoise(float value, uint32_t noise) {
  uint32_t bits = 0x7fc00000u;
  if (value == value) memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>((bits + noise) >> 16);
}

/// Where a sum has a product, it is said which one is fused: compilers would choose, and each its own.
template <typename T>
LONGSCAN_ON_BOTH inline void updateElement(const AdamwConstants<T>& step, T gradient, T& parameter, T& m,
                                           T& v) {
  m = std::fma(step.beta1, m, step.rest1 * gradient);
  v = std::fma(step.beta2, v, step.rest2 * gradient * gradient);
  const T change = step.rate * m / (std::sqrt(v * step.correction2) + step.eps);
  // p - decay * p and not p * (1 - decay): a small decay must not be rounded into the factor.
  parameter -= std::fma(step.decay, parameter, change);
}

}  // namespace longscan
