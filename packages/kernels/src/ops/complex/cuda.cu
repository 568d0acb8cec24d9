#include "cuda.h"

#include "cuda/map_elements.cuh"
#include "holomorphic.h"

namespace longscan {

namespace {

struct Complex {
  double re, im;
};

__device__ inline Complex operator+(Complex a, Complex b) {
  return {a.re + b.re, a.im + b.im};
}
__device__ inline Complex operator-(Complex a, Complex b) {
  return {a.re - b.re, a.im - b.im};
}
__device__ inline Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
__device__ inline Complex operator*(double a, Complex b) {
  return {a * b.re, a * b.im};
}
__device__ inline Complex conjugateOf(Complex a) {
  return {a.re, -a.im};
}
__device__ inline Complex inverseOf(Complex a) {
  return 1 / (a.re * a.re + a.im * a.im) * conjugateOf(a);
}
__device__ inline Complex exponential(Complex a) {
  double sine, cosine;
  sincos(a.im, &sine, &cosine);
  return exp(a.re) * Complex{cosine, sine};
}
__device__ inline bool isSmall(Complex a) {
  return a.re * a.re + a.im * a.im < smallMagnitude * smallMagnitude;
}

__device__ inline Complex holdRatio(Complex z) {
  const Complex one{1, 0};
  if (!isSmall(z)) return (exponential(z) - one) * inverseOf(z);
  Complex sum{0, 0};
  for (int k = seriesTerms; k >= 1; k--) sum = 1.0 / (k + 1) * ((sum + one) * z);
  return sum + one;
}

__device__ inline Complex holdRatioSlope(Complex z) {
  if (!isSmall(z)) return (exponential(z) - holdRatio(z)) * inverseOf(z);
  Complex sum{0, 0}, term{0.5, 0};
  for (int k = 0; k < seriesTerms; k++) {
    sum = sum + term;
    term = (k + 2.0) / ((k + 1.0) * (k + 3.0)) * (term * z);
  }
  return sum;
}

__device__ inline Complex bilinearRatio(Complex z) {
  return inverseOf(Complex{1, 0} - 0.5 * z);
}

/// log((1 + w) / (1 - w)) of w = z / 2
__device__ inline Complex bilinearLog(Complex z) {
  const double x = 0.5 * z.re, y = 0.5 * z.im;
  return {0.5 * log1p(4 * x / ((1 - x) * (1 - x) + y * y)), atan2(2 * y, (1 - x) * (1 + x) - y * y)};
}

__device__ inline Complex valueOf(Holomorphic function, Complex z) {
  if (function == Holomorphic::holdRatio) return holdRatio(z);
  return function == Holomorphic::bilinearRatio ? bilinearRatio(z) : bilinearLog(z);
}

__device__ inline Complex slopeOf(Holomorphic function, Complex z) {
  if (function == Holomorphic::holdRatio) return holdRatioSlope(z);
  if (function == Holomorphic::bilinearLog) return inverseOf(Complex{1, 0} - 0.25 * (z * z));
  const Complex ratio = bilinearRatio(z);
  return 0.5 * (ratio * ratio);
}

struct Value {
  Holomorphic function;
  __device__ Complex operator()(Complex z, Complex) const { return valueOf(function, z); }
};

struct Slope {
  Holomorphic function;
  __device__ Complex operator()(Complex z, Complex dy) const {
    return conjugateOf(slopeOf(function, z)) * dy;
  }
};

struct Product {
  bool conjugate;
  __device__ Complex operator()(Complex a, Complex b) const { return (conjugate ? conjugateOf(a) : a) * b; }
};

/// y = f(a, b), pair by pair.
template <typename Function, typename Element>
struct Pairs {
  Function f;
  const Element *a, *b;
  Element* y;
  __device__ void operator()(int64_t i) const {
    const Complex result = f(pair(a, i), pair(b, i));
    store(y, 2 * i, static_cast<float>(result.re));
    store(y, 2 * i + 1, static_cast<float>(result.im));
  }
  static __device__ Complex pair(const Element* x, int64_t i) { return {load(x, 2 * i), load(x, 2 * i + 1)}; }
};

template <typename Function>
cudaError_t forPairs(const Function& f, const LongscanArray& a, const LongscanArray& b,
                     const LongscanArray& y, int64_t numPairs, cudaStream_t stream) {
  return withArray(y, [&](auto* to) {
    using Element = std::remove_pointer_t<decltype(to)>;
    const Pairs<Function, Element> body{f, static_cast<const Element*>(a.data),
                                        static_cast<const Element*>(b.data), to};
    return forEachElement(numPairs, body, stream);
  });
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanComplexFunction(int function, LongscanArray z, LongscanArray y, int64_t numPairs,
                            CUstream_st* stream) {
  return forPairs(Value{static_cast<Holomorphic>(function)}, z, z, y, numPairs, stream);
}

int longscanComplexFunctionBackward(int function, LongscanArray z, LongscanArray dy, LongscanArray dz,
                                    int64_t numPairs, CUstream_st* stream) {
  return forPairs(Slope{static_cast<Holomorphic>(function)}, z, dy, dz, numPairs, stream);
}

int longscanComplexMultiply(int conjugate, LongscanArray a, LongscanArray b, LongscanArray y,
                            int64_t numPairs, CUstream_st* stream) {
  return forPairs(Product{conjugate != 0}, a, b, y, numPairs, stream);
}
