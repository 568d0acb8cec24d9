#pragma once

// Rows of any length in vectors, the tail through the same code as the body. Included by `cpu.cc` files only.

#include "simd.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Σ f(i) over a row; f takes the index of a vector's first element and how many of its elements count. Four
/// partial sums hide the latency of the additions.
template <typename T, typename F>
static inline T sumOfRow(int64_t cols, F f) {
  using V = Vec<T>;
  constexpr int W = V::width;
  V sum[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int64_t i = 0;
  for (; i + 4 * W <= cols; i += 4 * W) {
    for (int part = 0; part < 4; part++) sum[part] = sum[part] + f(i + part * W, W);
  }
  for (; i < cols; i += W) sum[0] = sum[0] + f(i, static_cast<int>(cols - i < W ? cols - i : W));
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])).sum();
}

template <typename T>
static inline Vec<T> loadUpTo(const T* p, int count) {
  return count == Vec<T>::width ? Vec<T>::load(p) : Vec<T>::loadFirst(p, count);
}

template <typename T>
static inline void storeUpTo(Vec<T> value, T* p, int count) {
  if (count == Vec<T>::width) {
    value.store(p);
  } else {
    value.storeFirst(p, count);
  }
}

/// Calls f(i, count) for each vector of a row: the index of its first element and how many of its elements
/// count.
template <typename T, typename F>
static inline void forRow(int64_t cols, F f) {
  constexpr int W = Vec<T>::width;
  int64_t i = 0;
  for (; i + W <= cols; i += W) f(i, W);
  if (i < cols) f(i, static_cast<int>(cols - i));
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
