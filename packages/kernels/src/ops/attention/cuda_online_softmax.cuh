#pragma once

#include <cmath>
#include <cstdint>

#include "cuda_range.cuh"

// The softmax of scores that a warp holds as sums of a product: two rows a thread, lane / 4 and lane / 4 + 8,
// and of each 8 columns two, 2 * (lane % 4) + {0, 1}.

namespace longscan {

constexpr float log2OfE = 1.4426950408889634f, logOf2 = 0.6931471805599453f;

__device__ inline float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Maximum or sum over the four lanes that have parts of a row.
template <typename Combine>
__device__ inline float overQuad(float x, Combine combine) {
  x = combine(x, __shfl_xor_sync(~0u, x, 1));
  return combine(x, __shfl_xor_sync(~0u, x, 2));
}
__device__ inline float maxOverQuad(float x) {
  return overQuad(x, [](float a, float b) { return fmaxf(a, b); });
}
__device__ inline float sumOverQuad(float x) {
  return overQuad(x, [](float a, float b) { return a + b; });
}

/// Scores that a row does not see become -Infinity; `ranges` count from the first column.
template <int columns>
__device__ inline void hideScores(float (&scores)[columns][4], const KeyRange (&ranges)[2], int lane) {
#pragma unroll
  for (int row = 0; row < 2; row++) {
    const unsigned length = static_cast<unsigned>(max(ranges[row].end - ranges[row].first, 0));
#pragma unroll
    for (int n = 0; n < columns; n++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int column = 8 * n + 2 * (lane & 3) + i;
        if (static_cast<unsigned>(column - ranges[row].first) >= length) scores[n][2 * row + i] = -INFINITY;
      }
  }
}

/// A thread's two rows after some keys: the greatest score, not scaled, and its part of Σ exp(scale (score -
/// top)).
struct OnlineSoftmax {
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f}, rescale[2];

  /// scores -> exp(scale (score - top)) with the tops of all keys so far; what was summed before must be
  /// multiplied by `rescale`. `scale` is for powers of two.
  template <int columns>
  __device__ void update(float (&scores)[columns][4], float scale) {
#pragma unroll
    for (int row = 0; row < 2; row++) {
      float highest = top[row];
#pragma unroll
      for (int n = 0; n < columns; n++)
        highest = fmaxf(highest, fmaxf(scores[n][2 * row], scores[n][2 * row + 1]));
      highest = maxOverQuad(highest);
      // Nothing in sight yet: all exponentials are of -Infinity.
      const float shift = highest == -INFINITY ? 0.0f : highest * scale;
      rescale[row] = exp2Fast(top[row] * scale - shift);
      top[row] = highest;
      float parts[2] = {0.0f, 0.0f};
#pragma unroll
      for (int n = 0; n < columns; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float& score = scores[n][2 * row + i];
          score = exp2Fast(fmaf(score, scale, -shift));
          parts[i] += score;
        }
      sum[row] = sum[row] * rescale[row] + (parts[0] + parts[1]);
    }
  }
};

}  // namespace longscan
