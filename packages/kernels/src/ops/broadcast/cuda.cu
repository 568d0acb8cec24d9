#include "cuda.h"

#include "cuda/copy_rows.cuh"
#include "cuda/map_elements.cuh"

namespace longscan {

namespace {

struct Product {
  __device__ float operator()(float a, float b) const { return a * b; }
};

struct Unchanged {
  __device__ float operator()(float a) const { return a; }
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

template <int lanes>
__device__ inline float sumOfLanes(float sum) {
#pragma unroll
  for (int distance = lanes / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
  return sum;
}

/// sum += dy * a, or dy alone, number by number.
template <int width, typename Gradient, typename Other>
__device__ inline void addProducts(Values<width>& sum, const Gradient* dy, const Other* a, int64_t at) {
  const Values<width> change = loadValues<width>(dy + at);
  Values<width> factor;
  if (a != nullptr) factor = loadValues<width>(a + at);
#pragma unroll
  for (int i = 0; i < width; i++)
    sum.x[i] = a == nullptr ? sum.x[i] + change.x[i] : fmaf(change.x[i], factor.x[i], sum.x[i]);
}

/// Where inner is 1: a thread has `width` numbers of a block's.
template <int width, typename Gradient, typename Other, typename Partial>
__global__ void __launch_bounds__(256)
    reduceColumnsKernel(const LongscanBroadcast shape, const Gradient* dy, const Other* a, Partial* partial) {
  const int64_t column = unitNumber() * width, block = rowNumber();
  const int64_t firstRow = block * blockRows, lastRow = min(firstRow + blockRows, shape.outer);
  if (column >= shape.middle || firstRow >= shape.outer) return;
  Values<width> sums{};
#pragma unroll 4
  for (int64_t row = firstRow; row < lastRow; row++) addProducts(sums, dy, a, row * shape.middle + column);
  storeValues(partial + block * shape.middle + column, sums);
}

/// Elsewhere so many threads, side by side in a warp, have one.
template <int width>
constexpr int lanesOfSum = width == 1 ? 32 : 8;

template <int width, typename Gradient, typename Other, typename Partial>
__global__ void __launch_bounds__(256)
    reduceRowsKernel(const LongscanBroadcast shape, const Gradient* dy, const Other* a, Partial* partial) {
  constexpr int lanes = lanesOfSum<width>;
  const int64_t item = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / lanes;
  const int64_t m = item % shape.middle, firstRow = item / shape.middle * blockRows;
  // Items beyond the last one have no rows and go along, so that the whole warp sums.
  const int64_t lastRow = min(firstRow + blockRows, shape.outer);
  Values<width> sums{};
  for (int64_t row = firstRow; row < lastRow; row++) {
    const int64_t at = (row * shape.middle + m) * shape.inner;
#pragma unroll 2
    for (int64_t i = threadIdx.x % lanes * width; i < shape.inner; i += lanes * width)
      addProducts(sums, dy, a, at + i);
  }
  float sum = sums.x[0];
#pragma unroll
  for (int i = 1; i < width; i++) sum += sums.x[i];
  sum = sumOfLanes<lanes>(sum);
  if (threadIdx.x % lanes == 0 && firstRow < shape.outer) partial[item] = fromFloat<Partial>(sum);
}

template <int width, typename Gradient, typename Other, typename Partial>
cudaError_t reduce(const LongscanBroadcast& shape, const Gradient* dy, const Other* a, Partial* partial,
                   cudaStream_t stream) {
  const int64_t numBlocks = (shape.outer + blockRows - 1) / blockRows;
  if (shape.inner == 1) {
    const RowBlocks blocks(numBlocks, shape.middle / width);
    reduceColumnsKernel<width><<<blocks.grid, blocks.block(), 0, stream>>>(shape, dy, a, partial);
  } else {
    const auto blocks = static_cast<unsigned>((numBlocks * shape.middle * lanesOfSum<width> + 255) / 256);
    reduceRowsKernel<width><<<blocks, 256, 0, stream>>>(shape, dy, a, partial);
  }
  return cudaGetLastError();
}

template <typename Gradient, typename Other, typename Partial>
cudaError_t reduce(const LongscanBroadcast& shape, const Gradient* dy, const Other* a, Partial* partial,
                   cudaStream_t stream) {
  if (shape.outer == 0) return cudaSuccess;
  if (shape.outer == 1 && shape.inner == 1)
    return a == nullptr ? mapElements(shape.middle, Unchanged{}, partial, stream, dy)
                        : mapElements(shape.middle, Product{}, partial, stream, dy, a);
  const int64_t neighbours = shape.inner == 1 ? shape.middle : shape.inner;
  const int64_t addresses = addressOf(dy) | addressOf(a) | (shape.inner == 1 ? addressOf(partial) : 0);
  const bool packed = neighbours % valuesAtOnce == 0 && addresses % 16 == 0;
  return packed ? reduce<valuesAtOnce>(shape, dy, a, partial, stream)
                : reduce<1>(shape, dy, a, partial, stream);
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
  if (warps) sum = sumOfLanes<32>(sum);
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
