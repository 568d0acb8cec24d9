#include "../../core/simd.h"
#include "cross_entropy.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline T rowMax(const T* row, int64_t vocab) {
  using V = Vec<T>;
  constexpr int W = V::width;
  T largest = row[0];
  int64_t i = 0;
  if (vocab >= W) {
    V lanes = V::load(row);
    for (i = W; i + W <= vocab; i += W) lanes = vmax(lanes, V::load(row + i));
    T spread[W];
    lanes.store(spread);
    for (int lane = 0; lane < W; lane++) largest = spread[lane] > largest ? spread[lane] : largest;
  }
  for (; i < vocab; i++) largest = row[i] > largest ? row[i] : largest;
  return largest;
}

/// Σ exp(row - shift); with `keep`, row becomes exp(row - shift).
template <typename T>
static inline T exponentialSum(T* row, int64_t vocab, T shift, bool keep) {
  using V = Vec<T>;
  constexpr int W = V::width;
  const V by = V::set(shift);
  V sum = V::zero();
  int64_t i = 0;
  for (; i + W <= vocab; i += W) {
    const V e = vexp(V::load(row + i) - by);
    if (keep) e.store(row + i);
    sum = sum + e;
  }
  T total = sum.sum();
  if (i < vocab) {
    T spread[W];
    const int count = static_cast<int>(vocab - i);
    vexp(V::loadFirst(row + i, count) - by).store(spread);
    for (int lane = 0; lane < count; lane++) {
      if (keep) row[i + lane] = spread[lane];
      total += spread[lane];
    }
  }
  return total;
}

template <typename T>
static inline void lossRows(T* logits, const int32_t* labels, double* rowLoss, int64_t vocab, bool gradient,
                            T scale, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; r++) {
    T* row = logits + r * vocab;
    const int32_t label = labels[r];
    if (label < 0) {
      rowLoss[r] = 0;
      if (gradient) {
        for (int64_t i = 0; i < vocab; i++) row[i] = T(0);
      }
      continue;
    }
    const T shift = rowMax(row, vocab);
    const double labelLogit = row[label];
    const T sum = exponentialSum(row, vocab, shift, gradient);
    rowLoss[r] = std::log(static_cast<double>(sum)) + (static_cast<double>(shift) - labelLogit);
    if (!gradient) continue;
    const T factor = scale / sum;
    for (int64_t i = 0; i < vocab; i++) row[i] *= factor;
    row[label] -= scale;
  }
}

template <typename T>
static inline void scaled(T factor, const T* x, T* target, bool accumulate, int64_t begin, int64_t end) {
  if (accumulate) {
    for (int64_t i = begin; i < end; i++) target[i] += factor * x[i];
  } else {
    for (int64_t i = begin; i < end; i++) target[i] = factor * x[i];
  }
}

void softmaxLossRows(float* logits, const int32_t* labels, double* rowLoss, int64_t vocab, bool gradient,
                     float scale, int64_t begin, int64_t end) {
  lossRows(logits, labels, rowLoss, vocab, gradient, scale, begin, end);
}

void softmaxLossRows(double* logits, const int32_t* labels, double* rowLoss, int64_t vocab, bool gradient,
                     double scale, int64_t begin, int64_t end) {
  lossRows(logits, labels, rowLoss, vocab, gradient, scale, begin, end);
}

void scaleInto(float factor, const float* x, float* target, bool accumulate, int64_t begin, int64_t end) {
  scaled(factor, x, target, accumulate, begin, end);
}

void scaleInto(double factor, const double* x, double* target, bool accumulate, int64_t begin, int64_t end) {
  scaled(factor, x, target, accumulate, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
