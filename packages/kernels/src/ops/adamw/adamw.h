#pragma once

#include <cstdint>

#include "../../core/cpu.h"

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
