#include "cuda_plain.h"
#include "cuda_plain_tile.cuh"

namespace longscan {

namespace {

template <int D>
struct PlainForwardShared {
  PlainTile<D> q, keys, values;
  PlainWeights weights;
  PlainRanges ranges;
};

/// Rows y and y + 16 after some keys.
template <int D>
struct PlainSoftmax {
  PlainSums<D> out;
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};

  __device__ void update(PlainForwardShared<D>& shared, PlainScores& scores, int key0) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = threadY() + 16 * i;
      float highest = top[i];
      for (int j = 0; j < 2; j++) {
        if (!shared.ranges.sees(row, key0 + threadX() + 16 * j)) scores[i][j] = -INFINITY;
        highest = fmaxf(highest, scores[i][j]);
      }
      highest = maxOverRow(highest);
      const float shift = highest == -INFINITY ? 0.0f : highest;
      const float rescale = expf(top[i] - shift);
      top[i] = highest;
      float part = 0.0f;
      for (int j = 0; j < 2; j++) {
        const float weight = expf(scores[i][j] - shift);
        shared.weights.x[row][threadX() + 16 * j] = weight;
        part += weight;
      }
      sum[i] = sum[i] * rescale + sumOverRow(part);
#pragma unroll
      for (int c = 0; c < D / 64; c++)
        out[i][c].x *= rescale, out[i][c].y *= rescale, out[i][c].z *= rescale, out[i][c].w *= rescale;
    }
  }
};

/// A block takes 32 queries of one head through all keys in sight.
template <typename Element, int D>
__global__ void __launch_bounds__(plainThreads, 1)
    plainForwardKernel(const LongscanAttention c, const LongscanAttentionForward io) {
  extern __shared__ uint8_t memory[];
  auto& shared = *reinterpret_cast<PlainForwardShared<D>*>(memory);
  const int64_t query0 = static_cast<int64_t>(blockIdx.x) * plainRows;
  const int b = blockIdx.y / c.H, h = blockIdx.y % c.H, g = h / (c.H / c.G);
  const auto batchOf = [&](const void* x, int64_t rows, int heads, int width) {
    return static_cast<const Element*>(x) + b * rows * heads * width;
  };
  shared.ranges.find(c, b, query0);
  shared.q.load(batchOf(c.q, c.T, c.H, c.K), query0, c.T, c.H, h, c.K, c.scale);
  PlainSoftmax<D> softmax;
  clear<D>(softmax.out);
  const auto rowAt = [&](int i) { return (b * c.T + query0 + threadY() + 16 * i) * c.H + h; };
  const auto exists = [&](int i) { return query0 + threadY() + 16 * i < c.T; };
  if (c.accumulate) {
    if (c.resultType == longscanElementF32)
      shared.values.load(static_cast<const float*>(io.o) + b * c.T * c.H * c.V, query0, c.T, c.H, h, c.V);
    else
      shared.values.load(static_cast<const __nv_bfloat16*>(io.o) + b * c.T * c.H * c.V, query0, c.T, c.H, h,
                         c.V);
    __syncthreads();
    for (int i = 0; i < 2; i++) {
      loadSums(shared.values, i, softmax.out[i]);
      softmax.top[i] = exists(i) ? io.lse[rowAt(i)] : -INFINITY;
      softmax.sum[i] = softmax.top[i] == -INFINITY ? 0.0f : 1.0f;
    }
  } else if (c.kSelf != nullptr) {
    shared.keys.load(batchOf(c.kSelf, c.T, c.G, c.K), query0, c.T, c.G, g, c.K);
    shared.values.load(batchOf(c.vSelf, c.T, c.G, c.V), query0, c.T, c.G, g, c.V);
    __syncthreads();
    for (int i = 0; i < 2; i++) {
      softmax.top[i] = rowDot(shared.q, shared.keys, i);
      softmax.sum[i] = 1.0f;
      loadSums(shared.values, i, softmax.out[i]);
    }
  }
  for (int key0 = shared.ranges.first / plainRows * plainRows; key0 < shared.ranges.end; key0 += plainRows) {
    __syncthreads();
    shared.keys.load(batchOf(c.k, c.S, c.G, c.K), key0, c.S, c.G, g, c.K);
    shared.values.load(batchOf(c.v, c.S, c.G, c.V), key0, c.S, c.G, g, c.V);
    __syncthreads();
    PlainScores scores;
    multiplyRows(shared.q, shared.keys, scores);
    softmax.update(shared, scores, key0);
    __syncthreads();
    addWeighted<D>(shared.weights, shared.values, softmax.out);
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    if (!exists(i) || (c.accumulate && shared.ranges.of[threadY() + 16 * i].empty())) continue;
    const float inverse = softmax.sum[i] == 0.0f ? 0.0f : 1.0f / softmax.sum[i];
    storeSums<D>(softmax.out[i], io.o, c.resultType, rowAt(i), c.V, inverse, false);
    if (threadX() == 0) io.lse[rowAt(i)] = softmax.top[i] + logf(softmax.sum[i]);
  }
}

}  // namespace

cudaError_t launchPlainForward(const LongscanAttention& call, const LongscanAttentionForward& io,
                               cudaStream_t stream) {
  return withPlainTypes(call, [&](auto* element, auto size) {
    using Element = std::remove_pointer_t<decltype(element)>;
    constexpr int D = decltype(size)::value, bytes = sizeof(PlainForwardShared<D>);
    const auto kernel = plainForwardKernel<Element, D>;
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
    const dim3 grid(static_cast<unsigned>((call.T + plainRows - 1) / plainRows),
                    static_cast<unsigned>(call.B * call.H));
    kernel<<<grid, plainThreads, bytes, stream>>>(call, io);
    return cudaGetLastError();
  });
}

}  // namespace longscan
