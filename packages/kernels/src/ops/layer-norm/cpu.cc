#include "../../core/simd_rows.h"
#include "layer_norm.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// The first `count` elements of a vector, zeros after them.
template <typename T>
static inline Vec<T> keepFirst(Vec<T> value, int count) {
  for (int i = count; i < Vec<T>::width; i++) value.v[i] = T(0);
  return value;
}

template <typename T>
static inline void forwardRows(const T* x, const T* weight, const T* bias, T* y, T* stats, int64_t groups,
                               int64_t cols, T eps, int64_t begin, int64_t end) {
  using V = Vec<T>;
  for (int64_t row = begin; row < end; row++) {
    const T* source = x + row * cols;
    const T* scale = weight + row % groups * cols;
    const T* shift = bias == nullptr ? nullptr : bias + row % groups * cols;
    const T sum = sumOfRow<T>(cols, [=](int64_t i, int count) { return loadUpTo(source + i, count); });
    const V mean = V::set(sum / static_cast<T>(cols));
    // Σ (x - mean)², not Σ x² - n mean²: the latter has no bits left where the mean is large.
    const T squares = sumOfRow<T>(cols, [=](int64_t i, int count) {
      const V centered = loadUpTo(source + i, count) - mean;
      const V square = centered * centered;
      return count == V::width ? square : keepFirst(square, count);
    });
    const V rstd = V::set(T(1) / std::sqrt(squares / static_cast<T>(cols) + eps));
    stats[2 * row] = mean.v[0];
    stats[2 * row + 1] = rstd.v[0];
    forRow<T>(cols, [=](int64_t i, int count) {
      V value = (loadUpTo(source + i, count) - mean) * rstd * loadUpTo(scale + i, count);
      if (shift != nullptr) value = value + loadUpTo(shift + i, count);
      storeUpTo(value, y + row * cols + i, count);
    });
  }
}

/// With n = (x - mean) rstd and g = dy * weight: dx = rstd (g - mean(g) - n mean(g * n)), dw += dy * n, db +=
/// dy.
template <typename T>
static inline void backwardRow(const T* dy, const T* x, const T* weight, T mean, T rstd, T* dx, T* dw, T* db,
                               int64_t cols) {
  using V = Vec<T>;
  const V center = V::set(mean);
  const V scale = V::set(rstd);
  const auto gradient = [=](int64_t i, int count) {
    return loadUpTo(dy + i, count) * loadUpTo(weight + i, count);
  };
  const auto normed = [=](int64_t i, int count) { return (loadUpTo(x + i, count) - center) * scale; };
  const V meanGradient = V::set(sumOfRow<T>(cols, gradient) / static_cast<T>(cols));
  const V meanProduct =
      V::set(sumOfRow<T>(cols, [=](int64_t i, int count) { return gradient(i, count) * normed(i, count); }) /
             static_cast<T>(cols));
  forRow<T>(cols, [=](int64_t i, int count) {
    const V n = normed(i, count);
    storeUpTo(scale * (gradient(i, count) - meanGradient - n * meanProduct), dx + i, count);
    const V g = loadUpTo(dy + i, count);
    if (dw != nullptr) storeUpTo(loadUpTo(dw + i, count) + g * n, dw + i, count);
    if (db != nullptr) storeUpTo(loadUpTo(db + i, count) + g, db + i, count);
  });
}

template <typename T>
static inline void backwardBlocks(const T* dy, const T* x, const T* weight, const T* stats, T* dx,
                                  T* dwBlocks, T* dbBlocks, int64_t positions, int64_t groups, int64_t cols,
                                  int64_t begin, int64_t end) {
  for (int64_t block = begin; block < end; block++) {
    const int64_t first = block * layerNormBlockRows;
    const int64_t last = first + layerNormBlockRows < positions ? first + layerNormBlockRows : positions;
    T* dw = dwBlocks == nullptr ? nullptr : dwBlocks + block * groups * cols;
    T* db = dbBlocks == nullptr ? nullptr : dbBlocks + block * groups * cols;
    for (int64_t i = 0; i < groups * cols; i++) {
      if (dw != nullptr) dw[i] = T(0);
      if (db != nullptr) db[i] = T(0);
    }
    for (int64_t row = first * groups; row < last * groups; row++) {
      const int64_t group = row % groups * cols;
      backwardRow(dy + row * cols, x + row * cols, weight + group, stats[2 * row], stats[2 * row + 1],
                  dx + row * cols, dw == nullptr ? nullptr : dw + group, db == nullptr ? nullptr : db + group,
                  cols);
    }
  }
}

void layerNormForward(const float* x, const float* weight, const float* bias, float* y, float* stats,
                      int64_t groups, int64_t cols, float eps, int64_t begin, int64_t end) {
  forwardRows(x, weight, bias, y, stats, groups, cols, eps, begin, end);
}

void layerNormForward(const double* x, const double* weight, const double* bias, double* y, double* stats,
                      int64_t groups, int64_t cols, double eps, int64_t begin, int64_t end) {
  forwardRows(x, weight, bias, y, stats, groups, cols, eps, begin, end);
}

void layerNormBackward(const float* dy, const float* x, const float* weight, const float* stats, float* dx,
                       float* dwBlocks, float* dbBlocks, int64_t positions, int64_t groups, int64_t cols,
                       int64_t begin, int64_t end) {
  backwardBlocks(dy, x, weight, stats, dx, dwBlocks, dbBlocks, positions, groups, cols, begin, end);
}

void layerNormBackward(const double* dy, const double* x, const double* weight, const double* stats,
                       double* dx, double* dwBlocks, double* dbBlocks, int64_t positions, int64_t groups,
                       int64_t cols, int64_t begin, int64_t end) {
  backwardBlocks(dy, x, weight, stats, dx, dwBlocks, dbBlocks, positions, groups, cols, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
