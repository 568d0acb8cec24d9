#include "../../core/simd_rows.h"
#include "../pointwise/vector_math.h"
#include "gated_norm.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// A gate's activation and its slope.
template <bool isSilu, typename T>
struct GateValue {
  Vec<T> value, slope;

  explicit GateValue(Vec<T> gate) {
    const SigmoidPair<T> s = vsigmoidPair(gate);
    const Vec<T> one = Vec<T>::set(T(1));
    value = isSilu ? gate * s.plus : s.plus;
    slope = s.plus * (isSilu ? one + gate * s.minus : s.minus);
  }
};

template <bool isSilu, typename T>
static inline void forwardRows(const GatedNorm<T>& call, T* y, int64_t begin, int64_t end) {
  using V = Vec<T>;
  const int64_t cols = call.cols;
  const T* weight = call.weight;
  for (int64_t row = begin; row < end; row++) {
    const T* x = call.x + row * cols;
    const T* gate = call.gate + row * cols;
    T* target = y + row * cols;
    const T squares = sumOfRow<T>(cols, [=](int64_t i, int count) {
      const V value = loadUpTo(x + i, count);
      return value * value;
    });
    const T rstd = T(1) / std::sqrt(squares / static_cast<T>(cols) + call.eps);
    call.rstd[row] = rstd;
    const V scale = V::set(rstd);
    forRow<T>(cols, [=](int64_t i, int count) {
      const V normed = loadUpTo(x + i, count) * scale * loadUpTo(weight + i, count);
      storeUpTo(normed * GateValue<isSilu, T>(loadUpTo(gate + i, count)).value, target + i, count);
    });
  }
}

/// With n = x * rstd, a = act(gate) and g = dy * a * weight: dx = rstd * (g - n * mean(g * n)),
/// dGate = dy * n * weight * a', dw += dy * a * n. Between the two walks over a row dx holds dy * a.
template <bool isSilu, typename T>
static inline void backwardRow(const GatedNorm<T>& call, const T* dy, int64_t row, T* dx, T* dGate, T* dw,
                               T* y) {
  using V = Vec<T>;
  const int64_t cols = call.cols;
  const T* x = call.x + row * cols;
  const T* gate = call.gate + row * cols;
  const T* weight = call.weight;
  const T rstd = call.rstd[row];
  const V scale = V::set(rstd);
  const T dot = sumOfRow<T>(cols, [=](int64_t i, int count) {
    const V gradient = loadUpTo(dy + i, count);
    const V normed = loadUpTo(x + i, count) * scale;
    const V weights = loadUpTo(weight + i, count);
    const GateValue<isSilu, T> act(loadUpTo(gate + i, count));
    const V gated = gradient * act.value;
    storeUpTo(gated, dx + i, count);
    storeUpTo(gradient * normed * weights * act.slope, dGate + i, count);
    if (y != nullptr) storeUpTo(normed * weights * act.value, y + i, count);
    return gated * weights * normed;
  });
  const V shift = V::set(dot / static_cast<T>(cols));
  forRow<T>(cols, [=](int64_t i, int count) {
    const V gated = loadUpTo(dx + i, count);
    const V normed = loadUpTo(x + i, count) * scale;
    storeUpTo(scale * (gated * loadUpTo(weight + i, count) - normed * shift), dx + i, count);
    if (dw != nullptr) storeUpTo(loadUpTo(dw + i, count) + gated * normed, dw + i, count);
  });
}

template <bool isSilu, typename T>
static inline void backwardBlocks(const GatedNorm<T>& call, const GatedNormGradients<T>& io, int64_t begin,
                                  int64_t end) {
  const int64_t cols = call.cols;
  for (int64_t block = begin; block < end; block++) {
    const int64_t first = block * gatedNormBlockRows;
    const int64_t last = first + gatedNormBlockRows < call.rows ? first + gatedNormBlockRows : call.rows;
    T* dw = io.dwBlocks == nullptr ? nullptr : io.dwBlocks + block * cols;
    if (dw != nullptr) {
      for (int64_t i = 0; i < cols; i++) dw[i] = T(0);
    }
    for (int64_t row = first; row < last; row++) {
      T* y = io.y == nullptr ? nullptr : io.y + row * cols;
      backwardRow<isSilu>(call, io.dy + row * cols, row, io.dx + row * cols, io.dGate + row * cols, dw, y);
    }
  }
}

template <typename T>
static inline void forward(const GatedNorm<T>& call, T* y, int64_t begin, int64_t end) {
  if (call.isSilu) {
    forwardRows<true>(call, y, begin, end);
  } else {
    forwardRows<false>(call, y, begin, end);
  }
}

template <typename T>
static inline void backward(const GatedNorm<T>& call, const GatedNormGradients<T>& io, int64_t begin,
                            int64_t end) {
  if (call.isSilu) {
    backwardBlocks<true>(call, io, begin, end);
  } else {
    backwardBlocks<false>(call, io, begin, end);
  }
}

void gatedNormForward(const GatedNorm<float>& call, float* y, int64_t begin, int64_t end) {
  forward(call, y, begin, end);
}

void gatedNormForward(const GatedNorm<double>& call, double* y, int64_t begin, int64_t end) {
  forward(call, y, begin, end);
}

void gatedNormBackward(const GatedNorm<float>& call, const GatedNormGradients<float>& io, int64_t begin,
                       int64_t end) {
  backward(call, io, begin, end);
}

void gatedNormBackward(const GatedNorm<double>& call, const GatedNormGradients<double>& io, int64_t begin,
                       int64_t end) {
  backward(call, io, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
