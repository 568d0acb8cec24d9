#include "gelu.h"
#include "pointwise.h"
#include "vector_math.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

// Each activation: its value and its derivative, both from x, so that nothing but the input is saved.

template <typename T>
struct Identity {
  static inline Vec<T> value(Vec<T> x) { return x; }
  static inline Vec<T> slope(Vec<T>) { return Vec<T>::set(T(1)); }
};

template <typename T>
struct Sigmoid {
  static inline Vec<T> value(Vec<T> x) { return vsigmoid(x); }
  // Not y (1 - y): the difference has no bits left where y is near 1.
  static inline Vec<T> slope(Vec<T> x) {
    const SigmoidPair<T> s = vsigmoidPair(x);
    return s.plus * s.minus;
  }
};

template <typename T>
struct LogSigmoid {
  static inline Vec<T> value(Vec<T> x) { return vlogSigmoid(x); }
  static inline Vec<T> slope(Vec<T> x) { return vsigmoid(Vec<T>::zero() - x); }
};

template <typename T>
struct Silu {
  static inline Vec<T> value(Vec<T> x) { return x * vsigmoid(x); }
  static inline Vec<T> slope(Vec<T> x) {
    const SigmoidPair<T> s = vsigmoidPair(x);
    return s.plus * (Vec<T>::set(T(1)) + x * s.minus);
  }
};

template <typename T>
struct Elu1 {
  static inline Vec<T> value(Vec<T> x) { return Vec<T>{x.v > T(0) ? x.v + T(1) : vexp(x).v}; }
  static inline Vec<T> slope(Vec<T> x) { return Vec<T>{x.v > T(0) ? x.v * T(0) + T(1) : vexp(x).v}; }
};

template <typename T>
struct Relu {
  static inline Vec<T> value(Vec<T> x) { return Vec<T>{x.v < T(0) ? x.v * T(0) : x.v}; }
  static inline Vec<T> slope(Vec<T> x) { return Vec<T>{x.v > T(0) ? x.v * T(0) + T(1) : x.v * T(0)}; }
};

template <typename T>
struct Exp {
  static inline Vec<T> value(Vec<T> x) { return vexp(x); }
  static inline Vec<T> slope(Vec<T> x) { return vexp(x); }
};

template <typename T>
struct Tanh {
  static inline Vec<T> value(Vec<T> x) { return vtanh(x); }
  // 1 / cosh²(x) = 4 e / (1 + e)² with e = exp(-2|x|), since 1 - tanh² has no bits left at large |x|.
  static inline Vec<T> slope(Vec<T> x) {
    const Vec<T> e = vexp(Vec<T>::set(T(-2)) * vabs(x));
    const Vec<T> sum = Vec<T>::set(T(1)) + e;
    return Vec<T>::set(T(4)) * e / (sum * sum);
  }
};

template <typename T>
struct Square {
  static inline Vec<T> value(Vec<T> x) { return x * x; }
  static inline Vec<T> slope(Vec<T> x) { return x + x; }
};

template <typename T>
struct Softplus {
  static inline Vec<T> value(Vec<T> x) { return vsoftplus(x); }
  static inline Vec<T> slope(Vec<T> x) { return vsigmoid(x); }
};

template <typename T>
struct Log {
  static inline Vec<T> value(Vec<T> x) { return vlog(x); }
  static inline Vec<T> slope(Vec<T> x) { return Vec<T>::set(T(1)) / x; }
};

template <typename T>
struct Gelu {
  static inline Vec<T> value(Vec<T> x) { return vgelu(x); }
  static inline Vec<T> slope(Vec<T> x) { return vgeluSlope(x); }
};

template <typename T>
struct GeluTanh {
  static inline Vec<T> value(Vec<T> x) { return vgeluTanh(x); }
  static inline Vec<T> slope(Vec<T> x) { return vgeluTanhSlope(x); }
};

template <typename T, typename Body>
static inline void choose(Activation kind, Body body) {
  switch (kind) {
    case Activation::identity:
      return body(Identity<T>{});
    case Activation::sigmoid:
      return body(Sigmoid<T>{});
    case Activation::logSigmoid:
      return body(LogSigmoid<T>{});
    case Activation::silu:
      return body(Silu<T>{});
    case Activation::elu1:
      return body(Elu1<T>{});
    case Activation::relu:
      return body(Relu<T>{});
    case Activation::exp:
      return body(Exp<T>{});
    case Activation::tanh:
      return body(Tanh<T>{});
    case Activation::square:
      return body(Square<T>{});
    case Activation::softplus:
      return body(Softplus<T>{});
    case Activation::log:
      return body(Log<T>{});
    case Activation::gelu:
      return body(Gelu<T>{});
    case Activation::geluTanh:
      return body(GeluTanh<T>{});
  }
}

template <typename T>
static inline void forward(Activation kind, T scale, const T* x, T* y, int64_t begin, int64_t end) {
  choose<T>(kind, [=](auto f) {
    mapVectors(x, y, begin, end,
               [=](Vec<T> value) { return Vec<T>::set(scale) * decltype(f)::value(value); });
  });
}

template <typename T>
static inline void backward(Activation kind, T scale, const T* x, const T* dy, T* dx, int64_t begin,
                            int64_t end) {
  choose<T>(kind, [=](auto f) {
    mapVectors(x, dy, dx, begin, end, [=](Vec<T> value, Vec<T> gradient) {
      return Vec<T>::set(scale) * decltype(f)::slope(value) * gradient;
    });
  });
}

void activationForward(Activation kind, float scale, const float* x, float* y, int64_t begin, int64_t end) {
  forward(kind, scale, x, y, begin, end);
}

void activationForward(Activation kind, double scale, const double* x, double* y, int64_t begin,
                       int64_t end) {
  forward(kind, scale, x, y, begin, end);
}

void activationBackward(Activation kind, float scale, const float* x, const float* dy, float* dx,
                        int64_t begin, int64_t end) {
  backward(kind, scale, x, dy, dx, begin, end);
}

void activationBackward(Activation kind, double scale, const double* x, const double* dy, double* dx,
                        int64_t begin, int64_t end) {
  backward(kind, scale, x, dy, dx, begin, end);
}

void multiply(const float* a, const float* b, float* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) y[i] = a[i] * b[i];
}

void multiply(const double* a, const double* b, double* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) y[i] = a[i] * b[i];
}

void affine(float factor, float shift, const float* x, float* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) y[i] = factor * x[i] + shift;
}

void affine(double factor, double shift, const double* x, double* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) y[i] = factor * x[i] + shift;
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
