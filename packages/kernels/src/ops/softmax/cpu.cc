#include "softmax.h"

#include "../../core/simd_rows.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline T maxOfRow(const T* x, int64_t cols) {
  using V = Vec<T>;
  constexpr int W = V::width;
  V top = V::set(x[0]);
  int64_t i = 0;
  for (; i + W <= cols; i += W) top = vmax(top, V::load(x + i));
  T best = top.v[0];
  for (int lane = 1; lane < W; lane++) best = top.v[lane] > best ? top.v[lane] : best;
  for (; i < cols; i++) best = x[i] > best ? x[i] : best;
  return best;
}

template <typename T>
static inline void forwardRows(const T* x, T* y, int64_t cols, int64_t begin, int64_t end) {
  using V = Vec<T>;
  for (int64_t row = begin; row < end; row++) {
    const T* from = x + row * cols;
    T* to = y + row * cols;
    const V top = V::set(maxOfRow(from, cols));
    forRow<T>(cols,
              [=](int64_t i, int count) { storeUpTo(vexp(loadUpTo(from + i, count) - top), to + i, count); });
    const T sum = sumOfRow<T>(cols, [=](int64_t i, int count) { return loadUpTo(to + i, count); });
    const V factor = V::set(T(1) / sum);
    forRow<T>(cols,
              [=](int64_t i, int count) { storeUpTo(loadUpTo(to + i, count) * factor, to + i, count); });
  }
}

template <typename T>
static inline void largestRows(const T* x, int64_t count, T* y, int32_t* selected, int64_t cols,
                               int64_t stride, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const T* from = x + row * cols;
    T* to = y + row * stride;
    int32_t* chosen = selected + row * stride;
    for (int64_t i = 0; i < cols; i++) chosen[i] = 0, to[i] = 0;
    T top = 0, sum = 0;
    for (int64_t round = 0; round < count; round++) {
      int64_t best = 0;
      while (chosen[best] != 0) best++;
      for (int64_t i = best + 1; i < cols; i++) {
        if (chosen[i] == 0 && from[i] > from[best]) best = i;
      }
      if (round == 0) top = from[best];
      chosen[best] = 1;
      to[best] = std::exp(from[best] - top);
      sum += to[best];
    }
    for (int64_t i = 0; i < cols; i++) to[i] = chosen[i] != 0 ? to[i] / sum : 0;
    for (int64_t i = cols; i < stride; i++) chosen[i] = 1, to[i] = 1;
  }
}

template <typename T>
static inline void backwardRows(const T* dy, const T* y, T* dx, int64_t cols, int64_t stride, int64_t begin,
                                int64_t end) {
  using V = Vec<T>;
  for (int64_t row = begin; row < end; row++) {
    const T* gradient = dy + row * stride;
    const T* value = y + row * stride;
    T* to = dx + row * cols;
    const V mean = V::set(sumOfRow<T>(cols, [=](int64_t i, int count) {
      return loadUpTo(value + i, count) * loadUpTo(gradient + i, count);
    }));
    forRow<T>(cols, [=](int64_t i, int count) {
      storeUpTo(loadUpTo(value + i, count) * (loadUpTo(gradient + i, count) - mean), to + i, count);
    });
  }
}

void softmaxForward(const float* x, float* y, int64_t cols, int64_t begin, int64_t end) {
  forwardRows(x, y, cols, begin, end);
}
void softmaxForward(const double* x, double* y, int64_t cols, int64_t begin, int64_t end) {
  forwardRows(x, y, cols, begin, end);
}
void softmaxOfLargest(const float* x, int64_t count, float* y, int32_t* selected, int64_t cols,
                      int64_t stride, int64_t begin, int64_t end) {
  largestRows(x, count, y, selected, cols, stride, begin, end);
}
void softmaxOfLargest(const double* x, int64_t count, double* y, int32_t* selected, int64_t cols,
                      int64_t stride, int64_t begin, int64_t end) {
  largestRows(x, count, y, selected, cols, stride, begin, end);
}
void softmaxBackward(const float* dy, const float* y, float* dx, int64_t cols, int64_t stride, int64_t begin,
                     int64_t end) {
  backwardRows(dy, y, dx, cols, stride, begin, end);
}
void softmaxBackward(const double* dy, const double* y, double* dx, int64_t cols, int64_t stride,
                     int64_t begin, int64_t end) {
  backwardRows(dy, y, dx, cols, stride, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
