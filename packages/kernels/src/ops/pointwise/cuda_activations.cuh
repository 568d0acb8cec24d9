#pragma once

#include <cuda_runtime.h>

#include "pointwise.h"

// Each activation in f32: its value and its derivative, both from x, in forms that keep their bits at large
// |x| (README.md).
namespace longscan {

__device__ inline float sigmoidOf(float x) {
  return 1.0f / (1.0f + expf(-x));
}
/// log(1 + e^x) - max(x, 0)
__device__ inline float softplusRest(float x) {
  return log1pf(expf(-fabsf(x)));
}

struct IdentityFunction {
  static __device__ float value(float x) { return x; }
  static __device__ float slope(float) { return 1.0f; }
};

struct SigmoidFunction {
  static __device__ float value(float x) { return sigmoidOf(x); }
  static __device__ float slope(float x) { return sigmoidOf(x) * sigmoidOf(-x); }
};

struct LogSigmoidFunction {
  static __device__ float value(float x) { return fminf(x, 0.0f) - softplusRest(x); }
  static __device__ float slope(float x) { return sigmoidOf(-x); }
};

struct SiluFunction {
  static __device__ float value(float x) { return x * sigmoidOf(x); }
  static __device__ float slope(float x) { return sigmoidOf(x) * (1.0f + x * sigmoidOf(-x)); }
};

struct Elu1Function {
  static __device__ float value(float x) { return x > 0.0f ? x + 1.0f : expf(x); }
  static __device__ float slope(float x) { return x > 0.0f ? 1.0f : expf(x); }
};

struct ReluFunction {
  static __device__ float value(float x) { return x < 0.0f ? 0.0f : x; }
  static __device__ float slope(float x) { return x > 0.0f ? 1.0f : 0.0f; }
};

struct ExpFunction {
  static __device__ float value(float x) { return expf(x); }
  static __device__ float slope(float x) { return expf(x); }
};

struct TanhFunction {
  static __device__ float value(float x) { return tanhf(x); }
  // 1 - tanh² has no bits left at large |x|.
  static __device__ float slope(float x) {
    const float e = expf(-2.0f * fabsf(x)), sum = 1.0f + e;
    return 4.0f * e / (sum * sum);
  }
};

struct SquareFunction {
  static __device__ float value(float x) { return x * x; }
  static __device__ float slope(float x) { return x + x; }
};

struct SoftplusFunction {
  static __device__ float value(float x) { return fmaxf(x, 0.0f) + softplusRest(x); }
  static __device__ float slope(float x) { return sigmoidOf(x); }
};

struct LogFunction {
  static __device__ float value(float x) { return logf(x); }
  static __device__ float slope(float x) { return 1.0f / x; }
};

struct GeluFunction {
  /// Φ(x); erfc keeps the bits of the lower tail.
  static __device__ float distribution(float x) { return 0.5f * erfcf(-0.70710678f * x); }
  static __device__ float value(float x) { return x * distribution(x); }
  static __device__ float slope(float x) { return distribution(x) + x * 0.39894228f * expf(-0.5f * x * x); }
};

struct GeluTanhFunction {
  /// 2u, and its derivative.
  static __device__ float inner(float x) { return 1.5957691f * x * (1.0f + 0.044715f * x * x); }
  static __device__ float innerSlope(float x) { return 1.5957691f * (1.0f + 3.0f * 0.044715f * x * x); }
  static __device__ float value(float x) { return x * sigmoidOf(inner(x)); }
  static __device__ float slope(float x) {
    const float z = inner(x), below = sigmoidOf(-z);
    // Beyond that the product is zero, but its other factor may be infinite.
    const float bend = below == 0.0f ? 0.0f : x * innerSlope(x) * below;
    return sigmoidOf(z) * (1.0f + bend);
  }
};

/// Calls `body` with the activation of this number.
template <typename Body>
int withActivation(int activation, Body body) {
  switch (static_cast<Activation>(activation)) {
    case Activation::identity:
      return body(IdentityFunction{});
    case Activation::sigmoid:
      return body(SigmoidFunction{});
    case Activation::logSigmoid:
      return body(LogSigmoidFunction{});
    case Activation::silu:
      return body(SiluFunction{});
    case Activation::elu1:
      return body(Elu1Function{});
    case Activation::relu:
      return body(ReluFunction{});
    case Activation::exp:
      return body(ExpFunction{});
    case Activation::tanh:
      return body(TanhFunction{});
    case Activation::square:
      return body(SquareFunction{});
    case Activation::softplus:
      return body(SoftplusFunction{});
    case Activation::log:
      return body(LogFunction{});
    case Activation::gelu:
      return body(GeluFunction{});
    case Activation::geluTanh:
      return body(GeluTanhFunction{});
  }
  return cudaErrorInvalidValue;
}

}  // namespace longscan
