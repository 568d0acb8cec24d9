#pragma once

#include "../chunkwise/lane.cuh"
#include "wide_products.cuh"

// The state of a wide chain, transposed: [64 of V, 64 of K] sums for each 64 channels of K.

namespace longscan {

/// visit(element, its place in `states`, [.., V, K], the head's of which begins at `first`) for what the
/// thread has of the state from channel `value` of V on; zero where there is none.
template <int KN, typename Place, typename Visit>
__device__ inline void eachOfState(Sums (&state)[KN], Place* states, int64_t first, int value, int K, int V,
                                   Visit&& visit) {
  const DeltaLane at;
#pragma unroll
  for (int panel = 0; panel < KN; panel++)
#pragma unroll
    for (int i = 0; i < 32; i++) {
      float& element = state[panel][i / 4][i % 4];
      const int channel = 64 * panel + 8 * (i / 4) + at.pairOf + i % 2;
      const int v = value + 16 * (at.warp % 4) + at.group + 8 * (i % 4 / 2);
      if (states != nullptr && channel < K && v < V)
        visit(element, states[first + static_cast<int64_t>(v) * K + channel]);
      else
        element = 0.0f;
    }
}

/// By one factor, or by one for each channel of K unless it `stays`.
template <int KN>
__device__ inline void decayState(Sums (&state)[KN], float gamma) {
#pragma unroll
  for (int panel = 0; panel < KN; panel++)
#pragma unroll
    for (int i = 0; i < 32; i++) state[panel][i / 4][i % 4] *= gamma;
}
template <int KN>
__device__ inline void decayState(Sums (&state)[KN], const float* gammas, bool stays) {
#pragma unroll
  for (int panel = 0; panel < KN; panel++) {
    ColumnFactors gamma;
    gamma.take(gammas + 64 * panel);
#pragma unroll
    for (int n = 0; n < 8; n++) gamma.of[n] = stays ? make_float2(1.0f, 1.0f) : gamma.of[n];
    scaleColumns(state[panel], gamma);
  }
}

}  // namespace longscan
