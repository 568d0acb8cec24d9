#pragma once

#include "../../cuda/pack.cuh"
#include "cuda_online_softmax.cuh"

// Tiles of 32 rows in f32, and products of them by 256 threads without tensor cores: thread (x, y) of 16 x 16
// has rows y and y + 16 and, of a product of rows with rows, columns x and x + 16.

namespace longscan {

constexpr int plainRows = 32, plainThreads = 256;

__device__ inline int threadX() {
  return threadIdx.x & 15;
}
__device__ inline int threadY() {
  return threadIdx.x >> 4;
}

/// [32, D]; four more columns keep rows in different banks.
template <int D>
struct PlainTile {
  static constexpr int pitch = D + 4;
  float x[plainRows][pitch];

  /// Rows [first, first + 32) of one head of [rows, heads, width], times `factor`; what is not there becomes
  /// zeros.
  template <typename Element>
  __device__ void load(const Element* from, int64_t first, int64_t rows, int heads, int head, int width,
                       float factor = 1.0f) {
    for (int i = threadIdx.x; i < plainRows * D / 4; i += plainThreads) {
      const int row = i / (D / 4), column = i % (D / 4) * 4;
      float4 value = {0.0f, 0.0f, 0.0f, 0.0f};
      if (first + row < rows && column < width) {
        const auto pack = loadPack<4>(from + ((first + row) * heads + head) * width + column);
        value = {toFloat(pack.x[0]) * factor, toFloat(pack.x[1]) * factor, toFloat(pack.x[2]) * factor,
                 toFloat(pack.x[3]) * factor};
      }
      *reinterpret_cast<float4*>(&x[row][column]) = value;
    }
  }
};

/// Weights of a tile's pairs, [rows, columns].
struct PlainWeights {
  float x[plainRows][plainRows + 1];
};

using PlainScores = float[2][2];
template <int D>
using PlainSums = float4[2][D / 64];

__device__ inline float dot(float4 a, float4 b) {
  return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

/// scores[row, column] = Σ a[row] · b[column]
template <int D>
__device__ void multiplyRows(const PlainTile<D>& a, const PlainTile<D>& b, PlainScores& scores) {
  const int x = threadX(), y = threadY();
  for (auto& row : scores) row[0] = row[1] = 0.0f;
#pragma unroll 8
  for (int k = 0; k < D; k += 4) {
    float4 left[2], right[2];
    for (int i = 0; i < 2; i++) {
      left[i] = *reinterpret_cast<const float4*>(&a.x[y + 16 * i][k]);
      right[i] = *reinterpret_cast<const float4*>(&b.x[x + 16 * i][k]);
    }
    for (int i = 0; i < 2; i++)
      for (int j = 0; j < 2; j++) scores[i][j] += dot(left[i], right[j]);
  }
}

/// sums[row] += Σ_j weights[row, j] b[j]. A weight of zero, which all pairs have that do not see each other,
/// keeps whatever b holds out.
template <int D>
__device__ void addWeighted(const PlainWeights& weights, const PlainTile<D>& b, PlainSums<D>& sums) {
  const int x = threadX(), y = threadY();
#pragma unroll 4
  for (int j = 0; j < plainRows; j++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float weight = weights.x[y + 16 * i][j];
      if (weight == 0.0f) continue;
#pragma unroll
      for (int c = 0; c < D / 64; c++) {
        const float4 value = *reinterpret_cast<const float4*>(&b.x[j][4 * x + 64 * c]);
        sums[i][c].x += weight * value.x, sums[i][c].y += weight * value.y;
        sums[i][c].z += weight * value.z, sums[i][c].w += weight * value.w;
      }
    }
}

template <int D>
__device__ void clear(PlainSums<D>& sums) {
  for (auto& row : sums)
    for (float4& sum : row) sum = {0.0f, 0.0f, 0.0f, 0.0f};
}

/// Row y + 16 i of `tile`, the columns that this thread has sums of.
template <int D>
__device__ void loadSums(const PlainTile<D>& tile, int i, float4 (&sums)[D / 64]) {
#pragma unroll
  for (int c = 0; c < D / 64; c++)
    sums[c] = *reinterpret_cast<const float4*>(&tile.x[threadY() + 16 * i][4 * threadX() + 64 * c]);
}

template <typename Element>
__device__ void storeFour(Element* to, float4 value, bool accumulate) {
  if (accumulate) {
    const auto before = loadPack<4>(static_cast<const Element*>(to));
    value.x += toFloat(before.x[0]), value.y += toFloat(before.x[1]);
    value.z += toFloat(before.x[2]), value.w += toFloat(before.x[3]);
  }
  storePack(to, Pack<Element, 4>{{fromFloat<Element>(value.x), fromFloat<Element>(value.y),
                                  fromFloat<Element>(value.z), fromFloat<Element>(value.w)}});
}

/// Sums of row y + 16 i, times `factor`, to row `at` of [.., width].
template <int D>
__device__ void storeSums(const float4 (&sums)[D / 64], void* to, int type, int64_t at, int width,
                          float factor, bool accumulate) {
#pragma unroll
  for (int c = 0; c < D / 64; c++) {
    const int column = 4 * threadX() + 64 * c;
    if (column >= width) continue;
    const float4 value = {sums[c].x * factor, sums[c].y * factor, sums[c].z * factor, sums[c].w * factor};
    if (type == longscanElementBf16)
      storeFour(static_cast<__nv_bfloat16*>(to) + at * width + column, value, accumulate);
    else
      storeFour(static_cast<float*>(to) + at * width + column, value, accumulate);
  }
}

/// Over the 16 threads of a row.
__device__ inline float sumOverRow(float x) {
  for (int step = 1; step < 16; step *= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}
__device__ inline float maxOverRow(float x) {
  for (int step = 1; step < 16; step *= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, step));
  return x;
}

/// Σ a[row] · b[row] of row y + 16 i.
template <int D>
__device__ float rowDot(const PlainTile<D>& a, const PlainTile<D>& b, int i) {
  float4 left[D / 64], right[D / 64];
  loadSums(a, i, left);
  loadSums(b, i, right);
  float sum = 0.0f;
#pragma unroll
  for (int c = 0; c < D / 64; c++) sum += dot(left[c], right[c]);
  return sumOverRow(sum);
}

/// The keys that queries [first, first + 32) see, and those that any of them sees. By all threads.
struct PlainRanges {
  KeyRange of[plainRows];
  int first, end;

  __device__ void find(const LongscanAttention& c, int64_t b, int64_t query0) {
    __syncthreads();
    if (threadIdx.x < plainRows) {
      const int64_t t = query0 + threadIdx.x;
      const KeyRange range = t < c.T ? keyRange(c, b, t) : KeyRange{0, 0};
      of[threadIdx.x] = range;
      const int lowest = __reduce_min_sync(~0u, range.empty() ? INT_MAX : range.first);
      const int highest = __reduce_max_sync(~0u, range.empty() ? 0 : range.end);
      if (threadIdx.x == 0) first = lowest, end = highest;
    }
    __syncthreads();
  }
  __device__ bool sees(int query, int64_t key) const { return key >= of[query].first && key < of[query].end; }
};

/// Calls `body` with the head size that tiles have.
template <typename Body>
auto withPlainSize(const LongscanAttention& call, Body body) {
  const int size = call.K > call.V ? call.K : call.V;
  if (size <= 64) return body(std::integral_constant<int, 64>());
  if (size <= 128) return body(std::integral_constant<int, 128>());
  return body(std::integral_constant<int, 256>());
}

/// Calls `launch(element, size)`: a null pointer of the inputs' type, and that head size.
template <typename Launch>
cudaError_t withPlainTypes(const LongscanAttention& call, Launch launch) {
  const auto withSize = [&](auto* element) {
    return withPlainSize(call, [&](auto size) { return launch(element, size); });
  };
  return call.type == longscanElementBf16 ? withSize(static_cast<__nv_bfloat16*>(nullptr))
                                          : withSize(static_cast<float*>(nullptr));
}

}  // namespace longscan
