#pragma once

#include <cstdint>

#include "../../core/cpu.h"
#include "update.h"

namespace longscan {

/// One step's constants; the corrections are 1 / (1 - beta^step).
struct AdamwStep {
  double learningRate;
  double beta1;
  double beta2;
  double eps;
  double weightDecay;
  double correction1;
  double correction2;
  double gradientFactor;

  template <typename T>
  AdamwConstants<T> as() const {
    // 1 - beta in f64 first: 1 - 0.999f is off in the fifth digit.
    return {static_cast<T>(beta1),
            static_cast<T>(beta2),
            static_cast<T>(1 - beta1),
            static_cast<T>(1 - beta2),
            static_cast<T>(learningRate * correction1),
            static_cast<T>(correction2),
            static_cast<T>(eps),
            static_cast<T>(learningRate * weightDecay)};
  }
};

}  // namespace longscan

// Elements [begin, end), in place: parameter, first and second moment.
LONGSCAN_KERNEL(adamwUpdate,
                (const AdamwStep& step, float* parameter, const float* gradient, float* m, float* v,
                 int64_t begin, int64_t end),
                (step, parameter, gradient, m, v, begin, end))
LONGSCAN_KERNEL(adamwUpdate,
                (const AdamwStep& step, double* parameter, const double* gradient, double* m, double* v,
                 int64_t begin, int64_t end),
                (step, parameter, gradient, m, v, begin, end))
// The same with moments in bf16.
LONGSCAN_KERNEL(adamwUpdateRounded,
                (const AdamwStep& step, const AdamwRounding& rounding, float* parameter,
                 const float* gradient, uint16_t* m, uint16_t* v, int64_t begin, int64_t end),
                (step, rounding, parameter, gradient, m, v, begin, end))
