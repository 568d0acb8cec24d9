#include <cmath>
#include <complex>
#include <string>

#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "holomorphic.h"

// Functions of the parameters of state space models: thousands of numbers a step and not millions, so they
// are computed one by one in f64, which spares every recurrence built on them the rounding of its constants.

namespace longscan {

namespace {

using Complex = std::complex<double>;

/// (e^z - 1) / z
Complex holdRatio(Complex z) {
  if (std::abs(z) < smallMagnitude) {
    Complex sum = 0;
    for (int k = seriesTerms; k >= 1; k--) sum = (sum + 1.0) * z / static_cast<double>(k + 1);
    return sum + 1.0;
  }
  return (std::exp(z) - 1.0) / z;
}

/// Its derivative: sum over k of (k + 1) / (k + 2)! z^k.
Complex holdRatioSlope(Complex z) {
  if (std::abs(z) < smallMagnitude) {
    Complex sum = 0, term = 0.5;
    for (int k = 0; k < seriesTerms; k++) {
      sum += term;
      term *= z * static_cast<double>(k + 2) / (static_cast<double>(k + 1) * static_cast<double>(k + 3));
    }
    return sum;
  }
  return (std::exp(z) - holdRatio(z)) / z;
}

Complex valueOf(Holomorphic function, Complex z) {
  switch (function) {
    case Holomorphic::holdRatio:
      return holdRatio(z);
    case Holomorphic::bilinearRatio:
      return 1.0 / (1.0 - z / 2.0);
    case Holomorphic::bilinearLog:
      return 2.0 * std::atanh(z / 2.0);
  }
  return 0;
}

Complex slopeOf(Holomorphic function, Complex z) {
  switch (function) {
    case Holomorphic::holdRatio:
      return holdRatioSlope(z);
    case Holomorphic::bilinearRatio: {
      const Complex ratio = 1.0 / (1.0 - z / 2.0);
      return 0.5 * ratio * ratio;
    }
    case Holomorphic::bilinearLog:
      return 1.0 / (1.0 - z * z / 4.0);
  }
  return 0;
}

/// A tensor of pairs (re, im).
TensorRef pairsArgument(Args& args, const char* name) {
  const TensorRef tensor = args.tensor(name);
  args.check(tensor.numElements % 2 == 0, [&] { return std::string(name) + " is not pairs"; });
  return tensor;
}

/// The pair `i` of a tensor.
template <typename Real>
Complex pairAt(const TensorRef& tensor, int64_t i) {
  const Real* p = tensor.as<Real>() + 2 * i;
  return Complex(static_cast<double>(p[0]), static_cast<double>(p[1]));
}

/// Enqueues y_i = f(a_i, b_i) for each pair.
template <typename Body>
Napi::Value enqueuePairs(Args& args, const TensorRef& a, const TensorRef& b, const TensorRef& y, Body f) {
  args.enqueueRanges(y.dtype, y.numElements / 2, 64, [=](auto zero, int64_t begin, int64_t end) {
    using Real = decltype(zero);
    for (int64_t i = begin; i < end; i++) {
      const Complex result = f(pairAt<Real>(a, i), pairAt<Real>(b, i));
      y.as<Real>()[2 * i] = static_cast<Real>(result.real());
      y.as<Real>()[2 * i + 1] = static_cast<Real>(result.imag());
    }
  });
  return args.env().Undefined();
}

Holomorphic functionArgument(Args& args) {
  const int64_t code = args.integer("name");
  args.check(code >= 0 && code < numFunctions, "unknown function");
  return static_cast<Holomorphic>(code);
}

Napi::Value bindForward(Args& args) {
  args.stream();
  const Holomorphic function = functionArgument(args);
  const TensorRef z = pairsArgument(args, "z");
  const TensorRef y = args.sizedTensor("y", z, z.numElements);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanComplexFunction);
    const LongscanArray from = gpuArray(args, z), to = gpuArray(args, y);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(static_cast<int>(function), from, to, z.numElements / 2, stream);
    });
    return args.env().Undefined();
  }
  return enqueuePairs(args, z, z, y, [=](Complex value, Complex) { return valueOf(function, value); });
}

Napi::Value bindBackward(Args& args) {
  args.stream();
  const Holomorphic function = functionArgument(args);
  const TensorRef z = pairsArgument(args, "z");
  const TensorRef dy = args.sizedTensor("dy", z, z.numElements);
  const TensorRef dz = args.sizedTensor("dz", z, z.numElements);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanComplexFunctionBackward);
    const LongscanArray from = gpuArray(args, z), change = gpuArray(args, dy), to = gpuArray(args, dz);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(static_cast<int>(function), from, change, to, z.numElements / 2, stream);
    });
    return args.env().Undefined();
  }
  return enqueuePairs(args, z, dy, dz, [=](Complex value, Complex gradient) {
    return std::conj(slopeOf(function, value)) * gradient;
  });
}

Napi::Value bindMultiply(Args& args) {
  args.stream();
  const bool conjugate = args.flag("conjugate");
  const TensorRef a = pairsArgument(args, "a");
  const TensorRef b = args.sizedTensor("b", a, a.numElements);
  const TensorRef y = args.sizedTensor("y", a, a.numElements);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanComplexMultiply);
    const LongscanArray first = gpuArray(args, a), second = gpuArray(args, b), to = gpuArray(args, y);
    args.enqueueLaunch(
        [=](CUstream_st* stream) { return kernel(conjugate, first, second, to, a.numElements / 2, stream); });
    return args.env().Undefined();
  }
  return enqueuePairs(args, a, b, y,
                      [=](Complex p, Complex q) { return (conjugate ? std::conj(p) : p) * q; });
}

}  // namespace

void register_complex(Registry& registry) {
  registry.add("complexForward", 4, bindForward);
  registry.add("complexBackward", 5, bindBackward);
  registry.add("complexMultiply", 5, bindMultiply);
}

}  // namespace longscan
