#include "cuda_plain.h"
#include "cuda_plain_tile.cuh"

namespace longscan {

namespace {

template <int D>
struct PlainBackwardShared {
  PlainTile<D> q, dO, keys, values;
  PlainWeights weights, scoreGrads;
  PlainRanges ranges;
  float lse[plainRows], delta[plainRows];
};

struct PlainBackwardCall {
  LongscanAttention c;
  LongscanAttentionBackward io;
  RowTerms terms;
};

template <typename Element>
__device__ const Element* batchOf(const void* x, int64_t b, int64_t rows, int heads, int width) {
  return static_cast<const Element*>(x) + b * rows * heads * width;
}

template <typename Element, int D>
__device__ void loadQueries(PlainBackwardShared<D>& shared, const PlainBackwardCall& p, int64_t b, int h,
                            int64_t query0) {
  const LongscanAttention& c = p.c;
  shared.q.load(batchOf<Element>(c.q, b, c.T, c.H, c.K), query0, c.T, c.H, h, c.K);
  shared.dO.load(batchOf<Element>(p.io.dO, b, c.T, c.H, c.V), query0, c.T, c.H, h, c.V);
  if (threadIdx.x < plainRows) {
    const int64_t at = (b * c.H + h) * p.terms.pitch + query0 + threadIdx.x;
    const bool exists = query0 + threadIdx.x < c.T;
    shared.lse[threadIdx.x] = exists ? p.terms.lse[at] : 0.0f;
    shared.delta[threadIdx.x] = exists ? p.terms.delta[at] : 0.0f;
  }
}

template <typename Element, int D>
__device__ void loadKeys(PlainBackwardShared<D>& shared, const LongscanAttention& c, int64_t b, int g,
                         int64_t key0) {
  shared.keys.load(batchOf<Element>(c.k, b, c.S, c.G, c.K), key0, c.S, c.G, g, c.K);
  shared.values.load(batchOf<Element>(c.v, b, c.S, c.G, c.V), key0, c.S, c.G, g, c.V);
}

/// weights and scoreGrads of a tile of queries and one of keys; `byKey`: rows are keys.
template <int D>
__device__ void weighPairs(PlainBackwardShared<D>& shared, float scale, int key0, bool byKey) {
  PlainScores scores, changes;
  multiplyRows(byKey ? shared.keys : shared.q, byKey ? shared.q : shared.keys, scores);
  multiplyRows(byKey ? shared.values : shared.dO, byKey ? shared.dO : shared.values, changes);
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      const int row = threadY() + 16 * i, column = threadX() + 16 * j;
      const int query = byKey ? column : row, key = byKey ? row : column;
      const bool seen = shared.ranges.sees(query, key0 + key);
      const float weight = exp2f(scores[i][j] * (scale * log2OfE) - shared.lse[query]);
      shared.weights.x[row][column] = seen ? weight : 0.0f;
      shared.scoreGrads.x[row][column] = seen ? weight * (changes[i][j] - shared.delta[query]) : 0.0f;
    }
}

/// dk and dv of 32 keys of a key head, over the heads of its group and the queries in their order.
template <typename Element, int D>
__global__ void __launch_bounds__(plainThreads, 1) plainKeyGradientKernel(const PlainBackwardCall p) {
  extern __shared__ uint8_t memory[];
  auto& shared = *reinterpret_cast<PlainBackwardShared<D>*>(memory);
  const LongscanAttention& c = p.c;
  const int key0 = blockIdx.x * plainRows, b = blockIdx.y / c.G, g = blockIdx.y % c.G, perGroup = c.H / c.G;
  PlainSums<D> dk, dv;
  clear<D>(dk);
  clear<D>(dv);
  loadKeys<Element>(shared, c, b, g, key0);
  for (int64_t query0 = 0; query0 < c.T; query0 += plainRows) {
    shared.ranges.find(c, b, query0);
    if (shared.ranges.first >= key0 + plainRows || shared.ranges.end <= key0) continue;
    for (int h = g * perGroup; h < (g + 1) * perGroup; h++) {
      __syncthreads();
      loadQueries<Element>(shared, p, b, h, query0);
      __syncthreads();
      weighPairs(shared, c.scale, key0, true);
      __syncthreads();
      addWeighted<D>(shared.weights, shared.dO, dv);
      addWeighted<D>(shared.scoreGrads, shared.q, dk);
    }
  }
  for (int i = 0; i < 2; i++) {
    const int64_t key = key0 + threadY() + 16 * i, at = (b * c.S + key) * c.G + g;
    if (key >= c.S) continue;
    storeSums<D>(dk[i], p.io.dk, c.resultType, at, c.K, c.scale, c.accumulate);
    storeSums<D>(dv[i], p.io.dv, c.resultType, at, c.V, 1.0f, c.accumulate);
  }
}

/// The weight of each query's own key and its score's gradient, for row y + 16 i.
struct OwnKey {
  float weight, scoreGrad;

  template <int D>
  __device__ OwnKey(const PlainBackwardShared<D>& shared, float scale, int i) {
    const int row = threadY() + 16 * i;
    const float score = rowDot(shared.q, shared.keys, i), change = rowDot(shared.dO, shared.values, i);
    weight = exp2f(score * (scale * log2OfE) - shared.lse[row]);
    scoreGrad = weight * (change - shared.delta[row]);
  }
};

template <int D>
__device__ void addScaled(float factor, const PlainTile<D>& tile, int i, float4 (&sums)[D / 64]) {
  float4 row[D / 64];
  loadSums(tile, i, row);
#pragma unroll
  for (int c = 0; c < D / 64; c++) {
    sums[c].x += factor * row[c].x, sums[c].y += factor * row[c].y;
    sums[c].z += factor * row[c].z, sums[c].w += factor * row[c].w;
  }
}

template <typename Element, int D>
__device__ void loadOwnKeys(PlainBackwardShared<D>& shared, const LongscanAttention& c, int64_t b, int g,
                            int64_t query0) {
  shared.keys.load(batchOf<Element>(c.kSelf, b, c.T, c.G, c.K), query0, c.T, c.G, g, c.K);
  shared.values.load(batchOf<Element>(c.vSelf, b, c.T, c.G, c.V), query0, c.T, c.G, g, c.V);
}

/// dq of 32 queries of one head.
template <typename Element, int D>
__global__ void __launch_bounds__(plainThreads, 1) plainQueryGradientKernel(const PlainBackwardCall p) {
  extern __shared__ uint8_t memory[];
  auto& shared = *reinterpret_cast<PlainBackwardShared<D>*>(memory);
  const LongscanAttention& c = p.c;
  const int64_t query0 = static_cast<int64_t>(blockIdx.x) * plainRows;
  const int b = blockIdx.y / c.H, h = blockIdx.y % c.H, g = h / (c.H / c.G);
  PlainSums<D> dq;
  clear<D>(dq);
  shared.ranges.find(c, b, query0);
  loadQueries<Element>(shared, p, b, h, query0);
  if (c.kSelf != nullptr) {
    loadOwnKeys<Element>(shared, c, b, g, query0);
    __syncthreads();
    for (int i = 0; i < 2; i++) addScaled(OwnKey(shared, c.scale, i).scoreGrad, shared.keys, i, dq[i]);
  }
  for (int key0 = shared.ranges.first / plainRows * plainRows; key0 < shared.ranges.end; key0 += plainRows) {
    __syncthreads();
    loadKeys<Element>(shared, c, b, g, key0);
    __syncthreads();
    weighPairs(shared, c.scale, key0, false);
    __syncthreads();
    addWeighted<D>(shared.scoreGrads, shared.keys, dq);
  }
  for (int i = 0; i < 2; i++) {
    const int64_t t = query0 + threadY() + 16 * i;
    if (t < c.T)
      storeSums<D>(dq[i], p.io.dq, c.resultType, (b * c.T + t) * c.H + h, c.K, c.scale, c.accumulate);
  }
}

/// dkSelf and dvSelf of 32 queries, over the heads of a group.
template <typename Element, int D>
__global__ void __launch_bounds__(plainThreads, 1) plainOwnKeyGradientKernel(const PlainBackwardCall p) {
  extern __shared__ uint8_t memory[];
  auto& shared = *reinterpret_cast<PlainBackwardShared<D>*>(memory);
  const LongscanAttention& c = p.c;
  const int64_t query0 = static_cast<int64_t>(blockIdx.x) * plainRows;
  const int b = blockIdx.y / c.G, g = blockIdx.y % c.G, perGroup = c.H / c.G;
  PlainSums<D> dk, dv;
  clear<D>(dk);
  clear<D>(dv);
  loadOwnKeys<Element>(shared, c, b, g, query0);
  for (int h = g * perGroup; h < (g + 1) * perGroup; h++) {
    __syncthreads();
    loadQueries<Element>(shared, p, b, h, query0);
    __syncthreads();
    for (int i = 0; i < 2; i++) {
      const OwnKey own(shared, c.scale, i);
      addScaled(own.scoreGrad, shared.q, i, dk[i]);
      addScaled(own.weight, shared.dO, i, dv[i]);
    }
  }
  for (int i = 0; i < 2; i++) {
    const int64_t t = query0 + threadY() + 16 * i, at = (b * c.T + t) * c.G + g;
    if (t >= c.T) continue;
    storeSums<D>(dk[i], p.io.dkSelf, c.resultType, at, c.K, c.scale, c.accumulate);
    storeSums<D>(dv[i], p.io.dvSelf, c.resultType, at, c.V, 1.0f, c.accumulate);
  }
}

template <int D, typename Kernel>
cudaError_t launch(Kernel* kernel, const PlainBackwardCall& p, int64_t rows, int64_t heads,
                   cudaStream_t stream) {
  constexpr int bytes = sizeof(PlainBackwardShared<D>);
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>((rows + plainRows - 1) / plainRows), static_cast<unsigned>(heads));
  kernel<<<grid, plainThreads, bytes, stream>>>(p);
  return cudaGetLastError();
}

}  // namespace

size_t plainSharedBytes(const LongscanAttention& call) {
  return withPlainSize(call, [](auto size) { return sizeof(PlainBackwardShared<decltype(size)::value>); });
}

cudaError_t launchPlainBackward(const LongscanAttention& call, const LongscanAttentionBackward& io,
                                const RowTerms& terms, cudaStream_t stream) {
  const PlainBackwardCall p{call, io, terms};
  return withPlainTypes(call, [&](auto* element, auto size) {
    using Element = std::remove_pointer_t<decltype(element)>;
    constexpr int D = decltype(size)::value;
    cudaError_t error = launch<D>(plainKeyGradientKernel<Element, D>, p, call.S, call.B * call.G, stream);
    if (error == cudaSuccess)
      error = launch<D>(plainQueryGradientKernel<Element, D>, p, call.T, call.B * call.H, stream);
    if (error == cudaSuccess && call.kSelf != nullptr)
      error = launch<D>(plainOwnKeyGradientKernel<Element, D>, p, call.T, call.B * call.G, stream);
    return error;
  });
}

}  // namespace longscan
