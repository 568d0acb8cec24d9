#pragma once

#include <cuda_runtime.h>

namespace longscan {

/// σ(x) and σ(-x) from one exponential; each keeps its relative accuracy, some 2^-21, at large |x| of either
/// sign. NaN stays NaN.
struct SigmoidPair {
  float plus, minus;

  __device__ explicit SigmoidPair(float x) {
    const float e = __expf(-fabsf(x)), large = __fdividef(1.0f, 1.0f + e), small = e * large;
    plus = x < 0.0f ? small : large;
    minus = x < 0.0f ? large : small;
  }
};

}  // namespace longscan
