#include "../../core/simd_rows.h"
#include "../pointwise/vector_math.h"
#include "swiglu.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline Vec<T> product(Vec<T> gate, Vec<T> up) {
  return gate * vsigmoid(gate) * up;
}

template <typename T>
static inline void forward(const T* gate, const T* up, T* y, int64_t begin, int64_t end) {
  mapVectors(gate, up, y, begin, end, [](Vec<T> g, Vec<T> u) { return product(g, u); });
}

/// dgate = dy * up * σ(gate) * (1 + gate * σ(-gate)), dup = dy * gate * σ(gate).
template <typename T>
static inline void backward(const T* dy, const T* gate, const T* up, const SwigluGradients<T>& to,
                            int64_t begin, int64_t end) {
  using V = Vec<T>;
  const V one = V::set(T(1));
  for (int64_t i = begin; i < end; i += V::width) {
    const int count = static_cast<int>(end - i < V::width ? end - i : V::width);
    const V d = loadUpTo(dy + i, count), g = loadUpTo(gate + i, count), u = loadUpTo(up + i, count);
    const SigmoidPair<T> s = vsigmoidPair(g);
    storeUpTo(d * u * s.plus * (one + g * s.minus), to.dgate + i, count);
    storeUpTo(d * g * s.plus, to.dup + i, count);
    if (to.y != nullptr) storeUpTo(product(g, u), to.y + i, count);
  }
}

void swigluForward(const float* gate, const float* up, float* y, int64_t begin, int64_t end) {
  forward(gate, up, y, begin, end);
}

void swigluForward(const double* gate, const double* up, double* y, int64_t begin, int64_t end) {
  forward(gate, up, y, begin, end);
}

void swigluBackward(const float* dy, const float* gate, const float* up, const SwigluGradients<float>& to,
                    int64_t begin, int64_t end) {
  backward(dy, gate, up, to, begin, end);
}

void swigluBackward(const double* dy, const double* gate, const double* up, const SwigluGradients<double>& to,
                    int64_t begin, int64_t end) {
  backward(dy, gate, up, to, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
