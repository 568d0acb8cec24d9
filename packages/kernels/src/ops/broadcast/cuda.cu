#include "cuda.h"

#include "cuda/copy_rows.cuh"
#include "cuda/elements.cuh"

namespace longscan {

namespace {

/// Elements of a row that a thread has, in one access where rows allow it.
template <typename Element>
constexpr int64_t widest = 16 / sizeof(Element);

/// y = a * b if `multiplies`, else a + factor * b: rows of `length` numbers, with one b each or, if `along`,
/// with all b.
template <typename Element>
struct Along {
  int64_t numRows, length, middle;
  bool along, multiplies;
  float factor;
  const Element *a, *b;
  Element* y;
};

template <typename Element, int width>
__global__ void alongKernel(const Along<Element> call) {
  const int64_t column = unitNumber() * width, row = rowNumber();
  if (column >= call.length || row >= call.numRows) return;
  Pack<Element, width> pack = loadPack<width>(call.a + row * call.length + column), other;
  if (call.along) {
    other = loadPack<width>(call.b + column);
  } else {
    const Element single = call.b[row % call.middle];
#pragma unroll
    for (int i = 0; i < width; i++) other.x[i] = single;
  }
#pragma unroll
  for (int i = 0; i < width; i++) {
    const float a = toFloat(pack.x[i]), b = toFloat(other.x[i]);
    pack.x[i] = fromFloat<Element>(call.multiplies ? a * b : fmaf(call.factor, b, a));
  }
  storePack<width>(call.y + row * call.length + column, pack);
}

template <typename Element, int width>
cudaError_t launchAlong(const Along<Element>& call, cudaStream_t stream) {
  const RowBlocks blocks(call.numRows, call.length / width);
  alongKernel<Element, width><<<blocks.grid, blocks.block(), 0, stream>>>(call);
  return cudaGetLastError();
}

template <typename Element>
cudaError_t along(const LongscanBroadcast& shape, bool multiplies, float factor, const void* a, const void* b,
                  void* y, cudaStream_t stream) {
  const bool isAlong = shape.inner == 1;
  const Along<Element> call{isAlong ? shape.outer : shape.outer * shape.middle,
                            isAlong ? shape.middle : shape.inner,
                            shape.middle,
                            isAlong,
                            multiplies,
                            factor,
                            static_cast<const Element*>(a),
                            static_cast<const Element*>(b),
                            static_cast<Element*>(y)};
  if (call.numRows == 0) return cudaSuccess;
  const int64_t addresses = addressOf(a) | addressOf(y) | (isAlong ? addressOf(b) : 0);
  const bool wide = call.length % widest<Element> == 0 && addresses % 16 == 0;
  return wide ? launchAlong<Element, widest<Element>>(call, stream) : launchAlong<Element, 1>(call, stream);
}

constexpr int64_t blockRows = 64;  // `broadcastBlockRows` in broadcast.h

__device__ inline float sumOfWarp(float sum) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
  return sum;
}

/// A thread, or a warp where inner is not 1, has one number of a block's.
template <typename Element, typename Partial, bool warps>
__global__ void __launch_bounds__(256)
    reduceKernel(const LongscanBroadcast shape, const Element* dy, const Element* a, Partial* partial) {
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

template <typename Element, typename Partial>
cudaError_t reduce(const LongscanBroadcast& shape, const void* dy, const void* a, void* partial,
                   cudaStream_t stream) {
  const bool warps = shape.inner > 1;
  const int64_t items = (shape.outer + blockRows - 1) / blockRows * shape.middle;
  if (items == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>((items * (warps ? 32 : 1) + 255) / 256);
  const auto kernel = warps ? reduceKernel<Element, Partial, true> : reduceKernel<Element, Partial, false>;
  kernel<<<blocks, 256, 0, stream>>>(shape, static_cast<const Element*>(dy), static_cast<const Element*>(a),
                                     static_cast<Partial*>(partial));
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

int longscanBroadcastMultiply(const LongscanBroadcast* call, const void* a, const void* b, void* y,
                              CUstream_st* stream) {
  return call->isBf16 ? along<__nv_bfloat16>(*call, true, 1.0f, a, b, y, stream)
                      : along<float>(*call, true, 1.0f, a, b, y, stream);
}

int longscanBroadcastAdd(const LongscanBroadcast* call, float factor, const void* a, const void* b, void* y,
                         CUstream_st* stream) {
  return call->isBf16 ? along<__nv_bfloat16>(*call, false, factor, a, b, y, stream)
                      : along<float>(*call, false, factor, a, b, y, stream);
}

int longscanBroadcastReduce(const LongscanBroadcast* call, const void* dy, const void* a, int partialIsBf16,
                            void* partial, CUstream_st* stream) {
  return withElement(call->isBf16, [=](auto* none) {
    return withElement(partialIsBf16, [=](auto* noneOfPartial) {
      return reduce<std::remove_pointer_t<decltype(none)>, std::remove_pointer_t<decltype(noneOfPartial)>>(
          *call, dy, a, partial, stream);
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
