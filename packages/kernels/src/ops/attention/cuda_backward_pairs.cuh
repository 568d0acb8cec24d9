#pragma once

#include "cuda_online_softmax.cuh"

// Pairs of keys and queries that a warp holds as sums of a product: a thread has the keys of two rows, and of
// each 8 queries two, 2 * (lane % 4) + {0, 1}.

namespace longscan {

/// The two queries of a thread among each 8, of numbers in shared memory by query.
__device__ inline float2 ofQueries(const float* byQuery, int n, int lane) {
  return *reinterpret_cast<const float2*>(byQuery + 8 * n + 2 * (lane & 3));
}

/// scores -> exp(scale score - lse), scale and lse for powers of two.
template <int columns>
__device__ inline void weighPairs(float (&scores)[columns][4], const float* lses, float scale, int lane) {
#pragma unroll
  for (int n = 0; n < columns; n++) {
    const float2 lse = ofQueries(lses, n, lane);
#pragma unroll
    for (int i = 0; i < 4; i++) scores[n][i] = exp2Fast(fmaf(scores[n][i], scale, -(i & 1 ? lse.y : lse.x)));
  }
}

/// Gradients of the weights -> of the scores, before the scale.
template <int columns>
__device__ inline void differentiatePairs(float (&grads)[columns][4], const float (&weights)[columns][4],
                                          const float* deltas, int lane) {
#pragma unroll
  for (int n = 0; n < columns; n++) {
    const float2 delta = ofQueries(deltas, n, lane);
#pragma unroll
    for (int i = 0; i < 4; i++) grads[n][i] = weights[n][i] * (grads[n][i] - (i & 1 ? delta.y : delta.x));
  }
}

/// What is hidden becomes zero, whatever it was. `key`: of the thread's first row; ranges by query.
template <int columns>
__device__ inline void hidePairs(float (&pairs)[columns][4], const int2* ranges, int key, int lane) {
#pragma unroll
  for (int n = 0; n < columns; n++)
#pragma unroll
    for (int j = 0; j < 2; j++) {
      const int2 range = ranges[8 * n + 2 * (lane & 3) + j];
#pragma unroll
      for (int i = 0; i < 2; i++)
        if (key + 8 * i < range.x || key + 8 * i >= range.y) pairs[n][2 * i + j] = 0.0f;
    }
}

/// Pairs of keys that were cleared become NaN; a bit for each of 32 keys, `row` that of the thread's first
/// row.
template <int columns>
__device__ inline void spoilPairs(float (&pairs)[columns][4], uint32_t badKeys, int row) {
#pragma unroll
  for (int n = 0; n < columns; n++)
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (badKeys >> (row + 8 * (i >> 1) & 31) & 1) pairs[n][i] = NAN;
}

}  // namespace longscan
