#include "../../core/simd_rows.h"
#include "rms_norm.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// The weights of a row's elements from i on; all 1 if there are none.
template <bool isWeighted, typename T>
static inline Vec<T> weightsAt(const T* weight, int64_t i, int count) {
  if constexpr (isWeighted) return loadUpTo(weight + i, count);
  return Vec<T>::set(T(1));
}

template <bool isWeighted, typename T>
static inline void writeRow(const T* x, T scale, const T* weight, T* y, int64_t cols) {
  for (int64_t i = 0; i < cols; i++) y[i] = isWeighted ? x[i] * scale * weight[i] : x[i] * scale;
}

template <bool isWeighted, typename T>
static inline void forwardRows(const RmsNormForward<T>& call, int64_t begin, int64_t end) {
  using V = Vec<T>;
  const int64_t cols = call.cols;
  const T divisor = isWeighted ? static_cast<T>(cols) : T(1);
  for (int64_t row = begin; row < end; row++) {
    const T* x = call.x + row * cols;
    T squares;
    if (call.branch == nullptr) {
      squares = sumOfRow<T>(cols, [=](int64_t i, int count) {
        const V value = loadUpTo(x + i, count);
        return value * value;
      });
    } else {
      const T* branch = call.branch + row * cols;
      T* sum = call.sum + row * cols;
      squares = sumOfRow<T>(cols, [=](int64_t i, int count) {
        const V value = loadUpTo(x + i, count) + loadUpTo(branch + i, count);
        storeUpTo(value, sum + i, count);
        return value * value;
      });
      x = sum;
    }
    const T scale = T(1) / std::sqrt(squares / divisor + call.eps);
    call.rstd[row] = scale;
    writeRow<isWeighted>(x, scale, call.weight, call.y + row * cols, cols);
  }
}

/// With n = x * rstd and g = dy * weight: dx = rstd * (g - n * mean(g * n)) + dSum, dw += dy * n.
template <bool isWeighted, typename T>
static inline void backwardBlocks(const RmsNormBackward<T>& call, int64_t begin, int64_t end) {
  using V = Vec<T>;
  const int64_t cols = call.cols;
  const T divisor = isWeighted ? static_cast<T>(cols) : T(1);
  for (int64_t block = begin; block < end; block++) {
    const int64_t first = block * rmsNormBlockRows;
    const int64_t last = first + rmsNormBlockRows < call.rows ? first + rmsNormBlockRows : call.rows;
    T* dw = call.dwBlocks == nullptr ? nullptr : call.dwBlocks + block * cols;
    if (dw != nullptr) {
      for (int64_t i = 0; i < cols; i++) dw[i] = T(0);
    }
    for (int64_t row = first; row < last; row++) {
      const T* dy = call.dy + row * cols;
      const T* x = call.x + row * cols;
      const T* weight = call.weight;
      const T* dSum = call.dSum == nullptr ? nullptr : call.dSum + row * cols;
      T* dx = call.dx + row * cols;
      const T scale = call.rstd[row];
      const T dot = sumOfRow<T>(cols, [=](int64_t i, int count) {
        return loadUpTo(dy + i, count) * weightsAt<isWeighted>(weight, i, count) * loadUpTo(x + i, count);
      });
      const V rowScale = V::set(scale);
      const V shift = V::set(scale * scale * dot / divisor);
      forRow<T>(cols, [=](int64_t i, int count) {
        const V gradient = loadUpTo(dy + i, count);
        const V value = loadUpTo(x + i, count);
        V change = rowScale * (gradient * weightsAt<isWeighted>(weight, i, count) - value * shift);
        if (dSum != nullptr) change = change + loadUpTo(dSum + i, count);
        storeUpTo(change, dx + i, count);
        if (dw != nullptr) storeUpTo(loadUpTo(dw + i, count) + gradient * (value * rowScale), dw + i, count);
      });
      if (call.y != nullptr) writeRow<isWeighted>(x, scale, weight, call.y + row * cols, cols);
    }
  }
}

template <typename T>
static inline void forward(const RmsNormForward<T>& call, int64_t begin, int64_t end) {
  if (call.weight != nullptr) {
    forwardRows<true>(call, begin, end);
  } else {
    forwardRows<false>(call, begin, end);
  }
}

template <typename T>
static inline void backward(const RmsNormBackward<T>& call, int64_t begin, int64_t end) {
  if (call.weight != nullptr) {
    backwardBlocks<true>(call, begin, end);
  } else {
    backwardBlocks<false>(call, begin, end);
  }
}

void rmsNormForward(const RmsNormForward<float>& call, int64_t begin, int64_t end) {
  forward(call, begin, end);
}

void rmsNormForward(const RmsNormForward<double>& call, int64_t begin, int64_t end) {
  forward(call, begin, end);
}

void rmsNormBackward(const RmsNormBackward<float>& call, int64_t begin, int64_t end) {
  backward(call, begin, end);
}

void rmsNormBackward(const RmsNormBackward<double>& call, int64_t begin, int64_t end) {
  backward(call, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
