#include "../pointwise/vector_math.h"
#include "swiglu.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline void forward(const T* gate, const T* up, T* y, int64_t begin, int64_t end) {
  mapVectors(gate, up, y, begin, end, [](Vec<T> g, Vec<T> u) { return g * vsigmoid(g) * u; });
}

/// dgate = dy * up * σ(gate) * (1 + gate * σ(-gate)), dup = dy * gate * σ(gate).
template <typename T>
static inline void backward(const T* dy, const T* gate, const T* up, T* dgate, T* dup, int64_t begin,
                            int64_t end) {
  using V = Vec<T>;
  const V one = V::set(T(1));
  for (int64_t i = begin; i < end; i += V::width) {
    const int count = static_cast<int>(end - i < V::width ? end - i : V::width);
    const bool whole = count == V::width;
    const V d = whole ? V::load(dy + i) : V::loadFirst(dy + i, count);
    const V g = whole ? V::load(gate + i) : V::loadFirst(gate + i, count);
    const V u = whole ? V::load(up + i) : V::loadFirst(up + i, count);
    const SigmoidPair<T> s = vsigmoidPair(g);
    const V gateGradient = d * u * s.plus * (one + g * s.minus);
    const V upGradient = d * g * s.plus;
    if (whole) {
      gateGradient.store(dgate + i);
      upGradient.store(dup + i);
    } else {
      gateGradient.storeFirst(dgate + i, count);
      upGradient.storeFirst(dup + i, count);
    }
  }
}

void swigluForward(const float* gate, const float* up, float* y, int64_t begin, int64_t end) {
  forward(gate, up, y, begin, end);
}

void swigluForward(const double* gate, const double* up, double* y, int64_t begin, int64_t end) {
  forward(gate, up, y, begin, end);
}

void swigluBackward(const float* dy, const float* gate, const float* up, float* dgate, float* dup,
                    int64_t begin, int64_t end) {
  backward(dy, gate, up, dgate, dup, begin, end);
}

void swigluBackward(const double* dy, const double* gate, const double* up, double* dgate, double* dup,
                    int64_t begin, int64_t end) {
  backward(dy, gate, up, dgate, dup, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
