#include "../../core/simd_rows.h"
#include "broadcast.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// y = f(a, b), b constant along a row of `inner` numbers or, where inner is 1, itself a row.
template <typename T, typename F>
static inline void mapRows(const T* a, const T* b, T* y, BroadcastShape shape, int64_t begin, int64_t end,
                           F f) {
  using V = Vec<T>;
  const int64_t length = shape.rowLength();
  for (int64_t row = begin; row < end; row++) {
    const T* source = a + row * length;
    T* target = y + row * length;
    if (shape.inner == 1) {
      forRow<T>(length, [=](int64_t i, int count) {
        storeUpTo(f(loadUpTo(source + i, count), loadUpTo(b + i, count)), target + i, count);
      });
    } else {
      const V other = V::set(b[row % shape.middle]);
      forRow<T>(length, [=](int64_t i, int count) {
        storeUpTo(f(loadUpTo(source + i, count), other), target + i, count);
      });
    }
  }
}

template <typename T>
static inline void multiplyRows(const T* a, const T* b, T* y, BroadcastShape shape, int64_t begin,
                                int64_t end) {
  mapRows(a, b, y, shape, begin, end, [](Vec<T> x, Vec<T> z) { return x * z; });
}

template <typename T>
static inline void addRows(T factor, const T* a, const T* b, T* y, BroadcastShape shape, int64_t begin,
                           int64_t end) {
  mapRows(a, b, y, shape, begin, end, [=](Vec<T> x, Vec<T> z) { return x + Vec<T>::set(factor) * z; });
}

template <typename T>
static inline void reduceItems(const T* dy, const T* a, T* partial, BroadcastShape shape, int64_t begin,
                               int64_t end) {
  const auto [outer, middle, inner] = shape;
  const int64_t numStretches = (middle + broadcastStretch - 1) / broadcastStretch;
  for (int64_t item = begin; item < end; item++) {
    const int64_t block = item / numStretches;
    const int64_t first = item % numStretches * broadcastStretch;
    const int64_t length = middle - first < broadcastStretch ? middle - first : broadcastStretch;
    const int64_t firstRow = block * broadcastBlockRows;
    const int64_t lastRow = firstRow + broadcastBlockRows < outer ? firstRow + broadcastBlockRows : outer;
    T* sums = partial + block * middle + first;
    for (int64_t m = 0; m < length; m++) sums[m] = T(0);
    for (int64_t row = firstRow; row < lastRow; row++) {
      const int64_t offset = (row * middle + first) * inner;
      const T* g = dy + offset;
      const T* x = a == nullptr ? nullptr : a + offset;
      const auto term = [=](int64_t i, int count) {
        const Vec<T> gradient = loadUpTo(g + i, count);
        return x == nullptr ? gradient : gradient * loadUpTo(x + i, count);
      };
      if (inner == 1) {
        forRow<T>(length, [=](int64_t i, int count) {
          storeUpTo(loadUpTo(sums + i, count) + term(i, count), sums + i, count);
        });
      } else {
        for (int64_t m = 0; m < length; m++) {
          sums[m] += sumOfRow<T>(inner, [=](int64_t i, int count) { return term(m * inner + i, count); });
        }
      }
    }
  }
}

template <typename T>
static inline void repeat(const T* x, T* y, int64_t times, int64_t inner, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    if (inner == 1) {
      T* target = y + row * times;
      const Vec<T> value = Vec<T>::set(x[row]);
      forRow<T>(times, [=](int64_t i, int count) { storeUpTo(value, target + i, count); });
      continue;
    }
    for (int64_t copy = 0; copy < times; copy++) {
      __builtin_memcpy(y + (row * times + copy) * inner, x + row * inner, sizeof(T) * inner);
    }
  }
}

template <typename T>
static inline void sumCopies(const T* dy, T* dx, int64_t times, int64_t inner, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const T* source = dy + row * times * inner;
    T* target = dx + row * inner;
    if (inner == 1) {
      *target = sumOfRow<T>(times, [=](int64_t i, int count) { return loadUpTo(source + i, count); });
      continue;
    }
    forRow<T>(inner, [=](int64_t i, int count) {
      Vec<T> sum = loadUpTo(source + i, count);
      for (int64_t copy = 1; copy < times; copy++) sum = sum + loadUpTo(source + copy * inner + i, count);
      storeUpTo(sum, target + i, count);
    });
  }
}

void broadcastMultiply(const float* a, const float* b, float* y, BroadcastShape shape, int64_t begin,
                       int64_t end) {
  multiplyRows(a, b, y, shape, begin, end);
}

void broadcastMultiply(const double* a, const double* b, double* y, BroadcastShape shape, int64_t begin,
                       int64_t end) {
  multiplyRows(a, b, y, shape, begin, end);
}

void broadcastAdd(float factor, const float* a, const float* b, float* y, BroadcastShape shape, int64_t begin,
                  int64_t end) {
  addRows(factor, a, b, y, shape, begin, end);
}

void broadcastAdd(double factor, const double* a, const double* b, double* y, BroadcastShape shape,
                  int64_t begin, int64_t end) {
  addRows(factor, a, b, y, shape, begin, end);
}

void broadcastReduce(const float* dy, const float* a, float* partial, BroadcastShape shape, int64_t begin,
                     int64_t end) {
  reduceItems(dy, a, partial, shape, begin, end);
}

void broadcastReduce(const double* dy, const double* a, double* partial, BroadcastShape shape, int64_t begin,
                     int64_t end) {
  reduceItems(dy, a, partial, shape, begin, end);
}

void repeatRows(const float* x, float* y, int64_t times, int64_t inner, int64_t begin, int64_t end) {
  repeat(x, y, times, inner, begin, end);
}

void repeatRows(const double* x, double* y, int64_t times, int64_t inner, int64_t begin, int64_t end) {
  repeat(x, y, times, inner, begin, end);
}

void sumRepeats(const float* dy, float* dx, int64_t times, int64_t inner, int64_t begin, int64_t end) {
  sumCopies(dy, dx, times, inner, begin, end);
}

void sumRepeats(const double* dy, double* dx, int64_t times, int64_t inner, int64_t begin, int64_t end) {
  sumCopies(dy, dx, times, inner, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
