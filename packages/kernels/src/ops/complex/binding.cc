#include <cmath>
#include <complex>

#include "../../addon/args.h"

// Functions of the parameters of state space models: thousands of numbers a step and not millions, so they
// are computed one by one in f64, which spares every recurrence built on them the rounding of its constants.

namespace longscan {

namespace {

using Complex = std::complex<double>;

/// The numbers of `functionCodes` in index.ts.
enum class Holomorphic { holdRatio, bilinearRatio, bilinearLog };
constexpr int numFunctions = 3;

/// Below this magnitude the differences of `holdRatio` cancel, and the series is exact in 16 terms.
constexpr double smallMagnitude = 0.5;

/// (e^z - 1) / z
Complex holdRatio(Complex z) {
  if (std::abs(z) < smallMagnitude) {
    Complex sum = 0;
    for (int k = 16; k >= 1; k--) sum = (sum + 1.0) * z / static_cast<double>(k + 1);
    return sum + 1.0;
  }
  return (std::exp(z) - 1.0) / z;
}

/// Its derivative: sum over k of (k + 1) / (k + 2)! z^k.
Complex holdRatioSlope(Complex z) {
  if (std::abs(z) < smallMagnitude) {
    Complex sum = 0, term = 0.5;
    for (int k = 0; k < 16; k++) {
      sum += term;
      term *= z * static_cast<double>(k + 2) / (static_cast<double>(k + 1) * static_cast<double>(k + 3));
    }
    return sum;
  }
  return (std::exp(z) - holdRatio(z)) / z;
}

Complex value(Holomorphic function, Complex z) {
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

Complex slope(Holomorphic function, Complex z) {
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

void checkPairs(Args& args, const TensorRef& a, const TensorRef& b) {
  args.checkSameType(a, b);
  args.check(a.numElements == b.numElements && a.numElements % 2 == 0, "not pairs of the same number");
}

/// Enqueues y_i = f(i) for each pair.
template <typename Body>
void enqueuePairs(Args& args, Stream& stream, const TensorRef& y, Body body) {
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, y.dtype, [&](auto zero) {
    using Real = decltype(zero);
    args.enqueue([=, &pool] {
      const auto load = [](const TensorRef& tensor, int64_t i) {
        const Real* p = tensor.as<Real>() + 2 * i;
        return Complex(static_cast<double>(p[0]), static_cast<double>(p[1]));
      };
      parallelFor(pool, y.numElements / 2, 64, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          const Complex result = body(i, load);
          y.as<Real>()[2 * i] = static_cast<Real>(result.real());
          y.as<Real>()[2 * i + 1] = static_cast<Real>(result.imag());
        }
      });
    });
  });
}

Holomorphic functionArgument(Args& args) {
  const int64_t code = args.integer("name");
  args.check(code >= 0 && code < numFunctions, "unknown function");
  return static_cast<Holomorphic>(code);
}

Napi::Value bindForward(Args& args) {
  Stream& stream = args.stream();
  const Holomorphic function = functionArgument(args);
  const TensorRef z = args.tensor("z");
  const TensorRef y = args.tensor("y");
  checkPairs(args, z, y);
  enqueuePairs(args, stream, y, [=](int64_t i, auto load) { return value(function, load(z, i)); });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  Stream& stream = args.stream();
  const Holomorphic function = functionArgument(args);
  const TensorRef z = args.tensor("z");
  const TensorRef dy = args.tensor("dy");
  const TensorRef dz = args.tensor("dz");
  checkPairs(args, z, dy);
  checkPairs(args, z, dz);
  enqueuePairs(args, stream, dz,
               [=](int64_t i, auto load) { return std::conj(slope(function, load(z, i))) * load(dy, i); });
  return args.env().Undefined();
}

Napi::Value bindMultiply(Args& args) {
  Stream& stream = args.stream();
  const bool conjugate = args.flag("conjugate");
  const TensorRef a = args.tensor("a");
  const TensorRef b = args.tensor("b");
  const TensorRef y = args.tensor("y");
  checkPairs(args, a, b);
  checkPairs(args, a, y);
  enqueuePairs(args, stream, y, [=](int64_t i, auto load) {
    const Complex factor = load(a, i);
    return (conjugate ? std::conj(factor) : factor) * load(b, i);
  });
  return args.env().Undefined();
}

}  // namespace

void register_complex(Registry& registry) {
  registry.add("complexForward", 4, bindForward);
  registry.add("complexBackward", 5, bindBackward);
  registry.add("complexMultiply", 5, bindMultiply);
}

}  // namespace longscan
