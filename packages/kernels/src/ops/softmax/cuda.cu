#include "cuda.h"

#include "cuda/elements.cuh"
#include "cuda/held_rows.cuh"

namespace longscan {

namespace {

struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

template <typename Layout>
__global__ void __launch_bounds__(Layout::threads, 512 / Layout::threads)
    forwardKernel(const HeldRows rows, int groupsAtOnce, const typename Layout::Element* x,
                  typename Layout::Element* y) {
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  const RowThread<Layout> thread(rows, groupsAtOnce);
  RowReduction<Layout, atOnce> reduce;
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    RowPart<Layout> parts[atOnce];
    float top[atOnce], sums[atOnce] = {};
#pragma unroll
    for (int r = 0; r < atOnce; r++) thread.load(parts[r], x, thread.row(first, r));
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      top[r] = -INFINITY;
#pragma unroll
      for (int p = 0; p < Layout::packs; p++)
#pragma unroll
        for (int i = 0; i < width; i++)
          if (thread.hasPart(p)) top[r] = fmaxf(top[r], parts[r][p * width + i]);
    }
    reduce(top, Larger());
#pragma unroll
    for (int r = 0; r < atOnce; r++)
#pragma unroll
      for (int p = 0; p < Layout::packs; p++)
#pragma unroll
        for (int i = 0; i < width; i++)
          if (thread.hasPart(p)) sums[r] += expf(parts[r][p * width + i] - top[r]);
    reduce(sums);
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      parts[r].forgetDerived();
      const float factor = 1.0f / sums[r];
#pragma unroll
      for (int i = 0; i < Layout::numbers; i++) parts[r].set(i, expf(parts[r][i] - top[r]) * factor);
      thread.store(y, thread.row(first, r), parts[r]);
    }
  }
}

template <typename Layout>
__global__ void __launch_bounds__(Layout::threads, 512 / Layout::threads)
    backwardKernel(const HeldRows rows, int groupsAtOnce, const typename Layout::Element* dy,
                   const typename Layout::Element* y, typename Layout::Element* dx) {
  constexpr int atOnce = Layout::rowsAtOnce;
  const RowThread<Layout> thread(rows, groupsAtOnce);
  RowReduction<Layout, atOnce> reduce;
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    RowPart<Layout> gradients[atOnce], values[atOnce];
    float means[atOnce] = {};
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      thread.load(gradients[r], dy, thread.row(first, r));
      thread.load(values[r], y, thread.row(first, r));
    }
#pragma unroll
    for (int r = 0; r < atOnce; r++)
#pragma unroll
      for (int i = 0; i < Layout::numbers; i++) means[r] += gradients[r][i] * values[r][i];
    reduce(means);
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      gradients[r].forgetDerived(), values[r].forgetDerived();
#pragma unroll
      for (int i = 0; i < Layout::numbers; i++) values[r].set(i, values[r][i] * (gradients[r][i] - means[r]));
      thread.store(dx, thread.row(first, r), values[r]);
    }
  }
}

// Routes have few columns, and rows of two lengths: a warp for each row, a lane for every 32nd column.
constexpr int routeThreads = 256;
constexpr int64_t mostRoutes = 32 * 32;

__device__ inline float sumOfWarp(float x) {
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
  return x;
}

/// Whether x at column i goes before y at j: it is larger, or as large and before it. A NaN is the largest.
__device__ inline bool goesFirst(float x, int i, float y, int j) {
  const bool xIsNan = x != x, yIsNan = y != y;
  if (xIsNan != yIsNan) return xIsNan;
  return x > y || (!(x < y) && i < j);
}

template <typename Element>
__global__ void __launch_bounds__(routeThreads)
    largestKernel(int64_t rows, int cols, const LongscanSoftmaxOfLargest io) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (routeThreads / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x % 32), stride = static_cast<int>(io.stride);
  const Element* const x = static_cast<const Element*>(io.x) + row * cols;
  Element* const y = static_cast<Element*>(io.y) + row * stride;
  int32_t* const selected = io.selected + row * stride;
  unsigned chosen = 0;  // bit k: column lane + 32 k
  float top = 0.0f;
  for (int64_t round = 0; round < io.count; round++) {
    float best = -INFINITY;
    int at = INT32_MAX;
    for (int i = lane; i < cols; i += 32) {
      const float value = load(x, i);
      if (!(chosen >> (i / 32) & 1) && goesFirst(value, i, best, at)) best = value, at = i;
    }
    for (int distance = 16; distance > 0; distance /= 2) {
      const float other = __shfl_xor_sync(~0u, best, distance);
      const int otherAt = __shfl_xor_sync(~0u, at, distance);
      if (goesFirst(other, otherAt, best, at)) best = other, at = otherAt;
    }
    if (round == 0) top = best;
    if (at % 32 == lane) chosen |= 1u << (at / 32);
  }
  float sum = 0.0f;
  for (int i = lane; i < cols; i += 32)
    if (chosen >> (i / 32) & 1) sum += expf(load(x, i) - top);
  sum = sumOfWarp(sum);
  for (int i = lane; i < stride; i += 32) {
    const bool isChosen = i >= cols || (chosen >> (i / 32) & 1);
    selected[i] = isChosen;
    store(y, i, i >= cols ? 1.0f : isChosen ? expf(load(x, i) - top) / sum : 0.0f);
  }
}

template <typename Element>
__global__ void __launch_bounds__(routeThreads)
    routeBackwardKernel(int64_t rows, int cols, int64_t stride, const Element* dy, const Element* y,
                        Element* dx) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (routeThreads / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  dy += row * stride, y += row * stride, dx += row * cols;
  float mean = 0.0f;
  for (int i = lane; i < cols; i += 32) mean += load(dy, i) * load(y, i);
  mean = sumOfWarp(mean);
  for (int i = lane; i < cols; i += 32) store(dx, i, load(y, i) * (load(dy, i) - mean));
}

unsigned routeBlocks(int64_t rows) {
  constexpr int64_t perBlock = routeThreads / 32;
  return static_cast<unsigned>((rows + perBlock - 1) / perBlock);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanSoftmaxForward(const LongscanSoftmax* call, const void* x, void* y, CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  return withElement(call->type == longscanElementBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    return withRowLayout<Element>(call->cols, [=](auto layout) {
      using Layout = decltype(layout);
      const HeldRows rows{call->rows, 1, call->cols};
      const HeldRowsBlock<Layout> block(rows);
      forwardKernel<Layout><<<block.grid(rows, block.shares(rows)), block.size, 0, stream>>>(
          rows, static_cast<int>(block.groupsAtOnce), static_cast<const Element*>(x),
          static_cast<Element*>(y));
      return cudaGetLastError();
    });
  });
}

int longscanSoftmaxOfLargest(const LongscanSoftmax* call, const LongscanSoftmaxOfLargest* io,
                             CUstream_st* stream) {
  if (call->cols > mostRoutes || io->count < 1 || io->count > call->cols) return cudaErrorInvalidValue;
  if (call->rows == 0) return cudaSuccess;
  return withElement(call->type == longscanElementBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    largestKernel<Element>
        <<<routeBlocks(call->rows), routeThreads, 0, stream>>>(call->rows, static_cast<int>(call->cols), *io);
    return cudaGetLastError();
  });
}

int longscanSoftmaxBackward(const LongscanSoftmax* call, int64_t stride, const void* dy, const void* y,
                            void* dx, CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  if (stride != call->cols && call->cols > mostRoutes) return cudaErrorInvalidValue;
  return withElement(call->type == longscanElementBf16, [=](auto* none) {
    using Element = std::remove_pointer_t<decltype(none)>;
    const auto* const gradients = static_cast<const Element*>(dy);
    const auto* const values = static_cast<const Element*>(y);
    auto* const to = static_cast<Element*>(dx);
    if (stride != call->cols) {
      routeBackwardKernel<<<routeBlocks(call->rows), routeThreads, 0, stream>>>(
          call->rows, static_cast<int>(call->cols), stride, gradients, values, to);
      return cudaGetLastError();
    }
    return withRowLayout<Element>(call->cols, [=](auto layout) {
      using Layout = decltype(layout);
      const HeldRows rows{call->rows, 1, call->cols};
      const HeldRowsBlock<Layout> block(rows);
      backwardKernel<Layout><<<block.grid(rows, block.shares(rows)), block.size, 0, stream>>>(
          rows, static_cast<int>(block.groupsAtOnce), gradients, values, to);
      return cudaGetLastError();
    });
  });
}
