#include "../../core/simd_rows.h"
#include "rms_norm.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline void forwardRows(const T* x, const T* weight, T* y, T* rstd, int64_t cols, T eps, int64_t begin,
                               int64_t end) {
  using V = Vec<T>;
  for (int64_t row = begin; row < end; row++) {
    const T* source = x + row * cols;
    T* target = y + row * cols;
    const T squares = sumOfRow<T>(cols, [=](int64_t i, int count) {
      const V value = loadUpTo(source + i, count);
      return value * value;
    });
    const T scale = T(1) / std::sqrt(squares / static_cast<T>(cols) + eps);
    rstd[row] = scale;
    for (int64_t i = 0; i < cols; i++) target[i] = source[i] * scale * weight[i];
  }
}

/// With n = x * rstd and g = dy * weight: dx = rstd * (g - n * mean(g * n)), dw += dy * n.
template <typename T>
static inline void backwardBlocks(const T* dy, const T* x, const T* weight, const T* rstd, T* dx, T* dwBlocks,
                                  int64_t rows, int64_t cols, int64_t begin, int64_t end) {
  using V = Vec<T>;
  constexpr int W = V::width;
  for (int64_t block = begin; block < end; block++) {
    const int64_t first = block * rmsNormBlockRows;
    const int64_t last = first + rmsNormBlockRows < rows ? first + rmsNormBlockRows : rows;
    T* dw = dwBlocks == nullptr ? nullptr : dwBlocks + block * cols;
    if (dw != nullptr) {
      for (int64_t i = 0; i < cols; i++) dw[i] = T(0);
    }
    for (int64_t row = first; row < last; row++) {
      const T* g = dy + row * cols;
      const T* source = x + row * cols;
      const T scale = rstd[row];
      const T dot = sumOfRow<T>(cols, [=](int64_t i, int count) {
        return loadUpTo(g + i, count) * loadUpTo(weight + i, count) * loadUpTo(source + i, count);
      });
      const V rowScale = V::set(scale);
      const V shift = V::set(scale * scale * dot / static_cast<T>(cols));
      for (int64_t i = 0; i < cols; i += W) {
        const int count = static_cast<int>(cols - i < W ? cols - i : W);
        const V gradient = loadUpTo(g + i, count);
        const V value = loadUpTo(source + i, count);
        const V change = rowScale * (gradient * loadUpTo(weight + i, count) - value * shift);
        storeUpTo(change, dx + row * cols + i, count);
        if (dw != nullptr) storeUpTo(loadUpTo(dw + i, count) + gradient * (value * rowScale), dw + i, count);
      }
    }
  }
}

void rmsNormForward(const float* x, const float* weight, float* y, float* rstd, int64_t cols, float eps,
                    int64_t begin, int64_t end) {
  forwardRows(x, weight, y, rstd, cols, eps, begin, end);
}

void rmsNormForward(const double* x, const double* weight, double* y, double* rstd, int64_t cols, double eps,
                    int64_t begin, int64_t end) {
  forwardRows(x, weight, y, rstd, cols, eps, begin, end);
}

void rmsNormBackward(const float* dy, const float* x, const float* weight, const float* rstd, float* dx,
                     float* dwBlocks, int64_t rows, int64_t cols, int64_t begin, int64_t end) {
  backwardBlocks(dy, x, weight, rstd, dx, dwBlocks, rows, cols, begin, end);
}

void rmsNormBackward(const double* dy, const double* x, const double* weight, const double* rstd, double* dx,
                     double* dwBlocks, int64_t rows, int64_t cols, int64_t begin, int64_t end) {
  backwardBlocks(dy, x, weight, rstd, dx, dwBlocks, rows, cols, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
