#include "cuda.h"

#include "cuda/copy_rows.cuh"
#include "cuda/map_elements.cuh"

namespace longscan {

namespace {

/// A thread has `width` columns of a wide row.
template <int width, typename Element>
__global__ void widenKernel(const LongscanNormalizer call, const Element* v, float last, Element* wide) {
  const int64_t column = unitNumber() * width, row = rowNumber();
  if (column >= call.wide || row >= call.rows) return;
  Values<width> values{};
  if (column < call.cols)
    values = loadValues<width>(v + row * call.cols + column);
  else if (column == call.cols)
    values.x[0] = last;
  storeValues(wide + row * call.wide + column, values);
}

struct Narrowed {
  const char* wide;
  char* narrow;
  int64_t wideBytes, narrowBytes;
  __device__ const char* source(int64_t row) const { return wide + row * wideBytes; }
  __device__ char* target(int64_t row) const { return narrow + row * narrowBytes; }
};

/// z itself unless it is within eps of zero; NaN stays NaN.
__device__ inline float guarded(float z, float eps) {
  return fabsf(z) < eps ? (z < 0 ? -eps : eps) : z;
}

struct Times {
  float factor;
  __device__ float operator()(float x) const { return x * factor; }
};

template <int width, typename Element>
__global__ void normalizeKernel(const LongscanNormalizer call, const Element* o, float eps, Element* y) {
  const int64_t column = unitNumber() * width, row = rowNumber();
  if (column >= call.cols || row >= call.rows) return;
  const Element* const from = o + row * call.wide;
  const float inverse = 1.0f / guarded(toFloat(from[call.cols]), eps);
  storeValues(y + row * call.cols + column, mapValues(Times{inverse}, loadValues<width>(from + column)));
}

/// Threads of a row in the backward pass, side by side in a warp.
constexpr int lanes = 8;

template <int width, typename Element>
__global__ void __launch_bounds__(256)
    normalizeBackwardKernel(const LongscanNormalizer call, const Element* dy, const Element* o, float eps,
                            Element* gradient) {
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / lanes;
  const int64_t first = threadIdx.x % lanes * width;
  // Rows beyond the last one go along, so that the whole warp sums.
  const bool isRow = row < call.rows;
  const Element *const dyRow = dy + row * call.cols, *const oRow = o + row * call.wide;
  Element* const to = gradient + row * call.wide;
  const float z = isRow ? toFloat(oRow[call.cols]) : 1.0f;
  const float inverse = 1.0f / guarded(z, eps);
  float product = 0;
  for (int64_t column = first; isRow && column < call.cols; column += lanes * width) {
    const Values<width> change = loadValues<width>(dyRow + column), value = loadValues<width>(oRow + column);
#pragma unroll
    for (int i = 0; i < width; i++) product = fmaf(change.x[i], value.x[i], product);
    storeValues(to + column, mapValues(Times{inverse}, change));
  }
#pragma unroll
  for (int distance = lanes / 2; distance > 0; distance /= 2)
    product += __shfl_xor_sync(~0u, product, distance);
  for (int64_t column = call.cols + threadIdx.x % lanes; isRow && column < call.wide; column += lanes) {
    const bool isNormalizer = column == call.cols && !(fabsf(z) < eps);
    to[column] = fromFloat<Element>(isNormalizer ? -product * inverse * inverse : 0.0f);
  }
}

/// Whether rows can be cut into packs of eight.
bool isPacked(const LongscanNormalizer& call, const void* a, const void* b, const void* c = nullptr) {
  return call.cols % valuesAtOnce == 0 && call.wide % valuesAtOnce == 0 &&
         (addressOf(a) | addressOf(b) | addressOf(c)) % 16 == 0;
}

template <int width, typename Element>
cudaError_t widen(const LongscanNormalizer& call, const Element* v, float last, Element* wide,
                  cudaStream_t stream) {
  const RowBlocks blocks(call.rows, call.wide / width);
  widenKernel<width><<<blocks.grid, blocks.block(), 0, stream>>>(call, v, last, wide);
  return cudaGetLastError();
}

template <int width, typename Element>
cudaError_t normalize(const LongscanNormalizer& call, const Element* o, float eps, Element* y,
                      cudaStream_t stream) {
  const RowBlocks blocks(call.rows, call.cols / width);
  normalizeKernel<width><<<blocks.grid, blocks.block(), 0, stream>>>(call, o, eps, y);
  return cudaGetLastError();
}

template <int width, typename Element>
cudaError_t normalizeBackward(const LongscanNormalizer& call, const Element* dy, const Element* o, float eps,
                              Element* gradient, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((call.rows * lanes + 255) / 256);
  normalizeBackwardKernel<width><<<blocks, 256, 0, stream>>>(call, dy, o, eps, gradient);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanWidenRows(const LongscanNormalizer* call, LongscanArray v, float last, LongscanArray wide,
                      CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  return withArray(wide, [&](auto* to) {
    auto* const from = static_cast<decltype(to)>(v.data);
    return isPacked(*call, from, to) ? widen<valuesAtOnce>(*call, from, last, to, stream)
                                     : widen<1>(*call, from, last, to, stream);
  });
}

int longscanNarrowRows(const LongscanNormalizer* call, LongscanArray wide, LongscanArray narrow,
                       CUstream_st* stream) {
  const int64_t bytes = narrow.isBf16 ? 2 : 4;
  const Narrowed rows{static_cast<const char*>(wide.data), static_cast<char*>(narrow.data),
                      call->wide * bytes, call->cols * bytes};
  const int64_t steps = addressOf(wide.data) | addressOf(narrow.data) | rows.wideBytes;
  return copyRows(call->rows, rows.narrowBytes, steps, rows, stream);
}

int longscanNormalizeForward(const LongscanNormalizer* call, LongscanArray o, float eps, LongscanArray y,
                             CUstream_st* stream) {
  if (call->rows * call->cols == 0) return cudaSuccess;
  return withArray(y, [&](auto* to) {
    auto* const from = static_cast<decltype(to)>(o.data);
    return isPacked(*call, from, to) ? normalize<valuesAtOnce>(*call, from, eps, to, stream)
                                     : normalize<1>(*call, from, eps, to, stream);
  });
}

int longscanNormalizeBackward(const LongscanNormalizer* call, LongscanArray dy, LongscanArray o, float eps,
                              LongscanArray outputGradient, CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  return withArray(outputGradient, [&](auto* to) {
    auto *const change = static_cast<decltype(to)>(dy.data), *const from = static_cast<decltype(to)>(o.data);
    return isPacked(*call, change, from, to)
               ? normalizeBackward<valuesAtOnce>(*call, change, from, eps, to, stream)
               : normalizeBackward<1>(*call, change, from, eps, to, stream);
  });
}
