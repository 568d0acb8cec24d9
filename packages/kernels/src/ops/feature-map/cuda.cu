#include "cuda.h"

#include "cuda/map_elements.cuh"

namespace longscan {

namespace {

constexpr int threads = 256;

/// Products of i with later elements stand before those of i + 1: where the first of i is.
__device__ inline int64_t firstProduct(int64_t i, int64_t K) {
  return i * (2 * K - i - 1) / 2;
}

/// i of the product at this place.
__device__ inline int64_t firstFactor(int64_t place, int64_t K) {
  const double b = 2.0 * static_cast<double>(K) - 1.0;
  auto i = static_cast<int64_t>((b - sqrt(b * b - 8.0 * static_cast<double>(place))) / 2.0);
  // The root may be off by a rounding.
  if (firstProduct(i, K) > place) i--;
  if (firstProduct(i + 1, K) <= place) i++;
  return i;
}

/// A thread has one feature of a row.
template <typename Element>
__global__ void __launch_bounds__(threads)
    forwardKernel(const LongscanFeatureMap call, const Element* x, Element* y) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  const int64_t row = at / call.columns, K = call.K;
  if (row >= call.rows) return;
  int64_t feature = at % call.columns;
  const Element* const from = x + row * K;
  float value = 0.0f;
  if (feature < call.numFeatures) {
    if (call.hasLinear) feature -= 1 + K;
    if (feature == -1 - K) {
      value = 1.0f;
    } else if (feature < 0) {
      value = call.linear * toFloat(from[feature + K]);
    } else if (feature < K) {
      const float factor = toFloat(from[feature]);
      value = call.square * (factor * factor);
    } else {
      const int64_t i = firstFactor(feature - K, K), j = i + 1 + feature - K - firstProduct(i, K);
      value = call.cross * toFloat(from[i]) * toFloat(from[j]);
    }
  }
  y[at] = fromFloat<Element>(value);
}

/// A thread has one element of a row.
template <typename Element>
__global__ void __launch_bounds__(threads)
    backwardKernel(const LongscanFeatureMap call, const Element* x, const Element* dy, Element* dx) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  const int64_t row = at / call.K, k = at % call.K, K = call.K;
  if (row >= call.rows) return;
  const Element *const from = x + row * K, *const change = dy + row * call.columns;
  const Element *const squares = change + (call.hasLinear ? 1 + K : 0), *const products = squares + K;
  float sum = 0.0f;
  for (int64_t i = 0; i < k; i++)
    sum = fmaf(toFloat(from[i]), toFloat(products[firstProduct(i, K) + k - i - 1]), sum);
  for (int64_t j = k + 1; j < K; j++)
    sum = fmaf(toFloat(from[j]), toFloat(products[firstProduct(k, K) + j - k - 1]), sum);
  float result = call.cross * sum + 2.0f * call.square * toFloat(from[k]) * toFloat(squares[k]);
  if (call.hasLinear) result += call.linear * toFloat(change[1 + k]);
  dx[at] = fromFloat<Element>(result);
}

unsigned blocksFor(int64_t count) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanFeatureMap(const LongscanFeatureMap* call, LongscanArray x, LongscanArray y,
                       CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  return withArray(y, [&](auto* to) {
    const auto* const from = static_cast<decltype(to)>(x.data);
    forwardKernel<<<blocksFor(call->rows * call->columns), threads, 0, stream>>>(*call, from, to);
    return cudaGetLastError();
  });
}

int longscanFeatureMapBackward(const LongscanFeatureMap* call, LongscanArray x, LongscanArray dy,
                               LongscanArray dx, CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  return withArray(dx, [&](auto* to) {
    const auto* const from = static_cast<decltype(to)>(x.data);
    const auto* const change = static_cast<decltype(to)>(dy.data);
    backwardKernel<<<blocksFor(call->rows * call->K), threads, 0, stream>>>(*call, from, change, to);
    return cudaGetLastError();
  });
}
