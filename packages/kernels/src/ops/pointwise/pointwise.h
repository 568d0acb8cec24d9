#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {
/// The numbers of `activationCodes` in index.ts.
enum class Activation {
  identity,
  sigmoid,
  logSigmoid,
  silu,
  elu1,
  relu,
  exp,
  tanh,
  square,
  softplus,
  log,
  gelu,
  geluTanh
};
constexpr int numActivations = 13;
}  // namespace longscan

// Elements [begin, end) of flat arrays. Forward: y = scale * f(x); backward: dx = scale * f'(x) * dy.
LONGSCAN_KERNEL(activationForward,
                (Activation kind, float scale, const float* x, float* y, int64_t begin, int64_t end),
                (kind, scale, x, y, begin, end))
LONGSCAN_KERNEL(activationForward,
                (Activation kind, double scale, const double* x, double* y, int64_t begin, int64_t end),
                (kind, scale, x, y, begin, end))
LONGSCAN_KERNEL(activationBackward,
                (Activation kind, float scale, const float* x, const float* dy, float* dx, int64_t begin,
                 int64_t end),
                (kind, scale, x, dy, dx, begin, end))
LONGSCAN_KERNEL(activationBackward,
                (Activation kind, double scale, const double* x, const double* dy, double* dx, int64_t begin,
                 int64_t end),
                (kind, scale, x, dy, dx, begin, end))
// y = a * b
LONGSCAN_KERNEL(multiply, (const float* a, const float* b, float* y, int64_t begin, int64_t end),
                (a, b, y, begin, end))
LONGSCAN_KERNEL(multiply, (const double* a, const double* b, double* y, int64_t begin, int64_t end),
                (a, b, y, begin, end))
// y = factor * x + shift
LONGSCAN_KERNEL(affine, (float factor, float shift, const float* x, float* y, int64_t begin, int64_t end),
                (factor, shift, x, y, begin, end))
LONGSCAN_KERNEL(affine, (double factor, double shift, const double* x, double* y, int64_t begin, int64_t end),
                (factor, shift, x, y, begin, end))
