#include "cuda.h"

#include "cuda/copy_rows.cuh"
#include "cuda/map_elements.cuh"

namespace longscan {

namespace {

struct Product {
  __device__ float operator()(float a, float b) const { return a * b; }
};

struct SumWithScaled {
  float factor;
  __device__ float operator()(float a, float b) const { return fmaf(factor, b, a); }
};

/// y = f(a, b): rows of `length` numbers, with one b each or, if `along`, with all b.
template <typename Function, typename A, typename B, typename Y>
struct Along {
  int64_t numRows, length, middle;
  bool along;
  Function f;
  const A* a;
  const B* b;
  Y* y;
};

/// A thread has `width` numbers of a row.
template <int width, typename Function, typename A, typename B, typename Y>
__global__ void alongKernel(const Along<Function, A, B, Y> call) {
  const int64_t column = unitNumber() * width, row = rowNumber();
  if (column >= call.length || row >= call.numRows) return;
  const int64_t at = row * call.length + column;
  Values<width> b;
  if (call.along) {
    b = loadValues<width>(call.b + column);
  } else {
    const Values<1> single = loadValues<1>(call.b + row % call.middle);
#pragma unroll
    for (int i = 0; i < width; i++) b.x[i] = single.x[0];
  }
  storeValues(call.y + at, mapValues(call.f, loadValues<width>(call.a + at), b));
}

template <int width, typename Function, typename A, typename B, typename Y>
cudaError_t launchAlong(const Along<Function, A, B, Y>& call, cudaStream_t stream) {
  const RowBlocks blocks(call.numRows, call.length / width);
  alongKernel<width><<<blocks.grid, blocks.block(), 0, stream>>>(call);
  return cudaGetLastError();
}

template <typename Function, typename A, typename B, typename Y>
cudaError_t along(const LongscanBroadcast& shape, const Function& f, const A* a, const B* b, Y* y,
                  cudaStream_t stream) {
  const bool isAlong = shape.inner == 1;
  if (isAlong && shape.outer == 1) return mapElements(shape.middle, f, y, stream, a, b);
  const Along<Function, A, B, Y> call{isAlong ? shape.outer : shape.outer * shape.middle,
                                      isAlong ? shape.middle : shape.inner,
                                      shape.middle,
                                      isAlong,
                                      f,
                                      a,
                                      b,
                                      y};
  if (call.numRows == 0) return cudaSuccess;
  const int64_t addresses = addressOf(a) | addressOf(y) | (isAlong ? addressOf(b) : 0);
  const bool packed = call.length % valuesAtOnce == 0 && addresses % 16 == 0;
  return packed ? launchAlong<valuesAtOnce>(call, stream) : launchAlong<1>(call, stream);
}

template <typename Function>
cudaError_t along(const LongscanBroadcast& shape, const Function& f, const LongscanArray& a,
                  const LongscanArray& b, const LongscanArray& y, cudaStream_t stream) {
  return withArray(a, [&](auto* first) {
    return withArray(b, [&](auto* second) {
      return withArray(y, [&](auto* to) { return along(shape, f, first, second, to, stream); });
    });
  });
}

constexpr int64_t blockRows = 64;  // `broadcastBlockRows` in broadcast.h

__device__ inline float sumOfWarp(float sum) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
  return sum;
}

/// A thread, or a warp where inner is not 1, has one number of a block's.
template <bool warps, typename Gradient, typename Other, typename Partial>
__global__ void __launch_bounds__(256)
    reduceKernel(const LongscanBroadcast shape, const Gradient* dy, const Other* a, Partial* partial) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t item = warps ? thread / 32 : thread;
  const int64_t numBlocks = (shape.outer + blockRows - 1) / blockRows;
  if (item >= numBlocks * shape.middle) return;
  const int64_t m = item % shape.middle, firstRow = item / shape.middle * blockRows;
  const int64_t lastRow = min(firstRow + blockRows, shape.outer);
  float sum = 0.0f;
  for (int64_t row = firstRow; row < lastRow; row++) {
    const int64_t at = (row * shape.middle + m) * shape.inner;
    for (int64_t i = warps ? threadIdx.x % 32 : 0; i < shape.inner; i += warps ? 32 : 1)
      sum = a == nullptr ? sum + toFloat(dy[at + i]) : fmaf(toFloat(dy[at + i]), toFloat(a[at + i]), sum);
  }
  if (warps) sum = sumOfWarp(sum);
  if (!warps || threadIdx.x % 32 == 0) partial[item] = fromFloat<Partial>(sum);
}

template <typename Gradient, typename Other, typename Partial>
cudaError_t reduce(const LongscanBroadcast& shape, const Gradient* dy, const Other* a, Partial* partial,
                   cudaStream_t stream) {
  const bool warps = shape.inner > 1;
  const int64_t items = (shape.outer + blockRows - 1) / blockRows * shape.middle;
  if (items == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>((items * (warps ? 32 : 1) + 255) / 256);
  const auto kernel =
      warps ? reduceKernel<true, Gradient, Other, Partial> : reduceKernel<false, Gradient, Other, Partial>;
  kernel<<<blocks, 256, 0, stream>>>(shape, dy, a, partial);
  return cudaGetLastError();
}

struct Repeated {
  const char* x;
  char* y;
  int64_t times, bytes;
  __device__ const char* source(int64_t row) const { return x + row / times * bytes; }
  __device__ char* target(int64_t row) const { return y + row * bytes; }
};

/// A thread has one sum; a warp where inner is 1, so that it reads side by side.
template <typename Element, bool warps>
__global__ void __launch_bounds__(256)
    sumRepeatsKernel(const Element* dy, Element* dx, int64_t count, int64_t times, int64_t inner) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t item = warps ? thread / 32 : thread;
  if (item >= count) return;
  const Element* from = dy + item / inner * times * inner + item % inner;
  float sum = 0.0f;
  for (int64_t i = warps ? threadIdx.x % 32 : 0; i < times; i += warps ? 32 : 1)
    sum += toFloat(from[i * inner]);
  if (warps) sum = sumOfWarp(sum);
  if (!warps || threadIdx.x % 32 == 0) dx[item] = fromFloat<Element>(sum);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanBroadcastMultiply(const LongscanBroadcast* call, LongscanArray a, LongscanArray b,
                              LongscanArray y, CUstream_st* stream) {
  return along(*call, Product{}, a, b, y, stream);
}

int longscanBroadcastAdd(const LongscanBroadcast* call, float factor, LongscanArray a, LongscanArray b,
                         LongscanArray y, CUstream_st* stream) {
  return along(*call, SumWithScaled{factor}, a, b, y, stream);
}

int longscanBroadcastReduce(const LongscanBroadcast* call, LongscanArray dy, LongscanArray a,
                            LongscanArray partial, CUstream_st* stream) {
  return withArray(dy, [&](auto* gradient) {
    return withArray(a, [&](auto* other) {
      return withArray(partial, [&](auto* sums) { return reduce(*call, gradient, other, sums, stream); });
    });
  });
}

int longscanRepeatRows(const void* x, void* y, int64_t rows, int64_t times, int64_t inner, int64_t bytes,
                       CUstream_st* stream) {
  const Repeated repeated{static_cast<const char*>(x), static_cast<char*>(y), times, inner * bytes};
  return copyRows(rows * times, inner * bytes, addressOf(x) | addressOf(y), repeated, stream);
}

int longscanSumRepeats(int isBf16, const void* dy, void* dx, int64_t rows, int64_t times, int64_t inner,
                       CUstream_st* stream) {
  const int64_t count = rows * inner;
  if (count == 0) return cudaSuccess;
  return withElement(isBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const bool warps = inner == 1 && times > 1;
    const auto blocks = static_cast<unsigned>((count * (warps ? 32 : 1) + 255) / 256);
    const auto kernel = warps ? sumRepeatsKernel<Element, true> : sumRepeatsKernel<Element, false>;
    kernel<<<blocks, 256, 0, stream>>>(static_cast<const Element*>(dy), static_cast<Element*>(dx), count,
                                       times, inner);
    return cudaGetLastError();
  });
}
