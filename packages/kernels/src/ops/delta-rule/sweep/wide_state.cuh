#pragma once

#include "../chunkwise/lane.cuh"
#include "wide_products.cuh"

// A state, transposed, in the sums of a chain's products on Hopper: [64 of V, 64 of K] for each 64 channels
// of K.

namespace longscan {

template <int KN>
using WideState = Sums[KN];

/// visit(element, its place in `states`, [.., V, K], of which the head's has this number) for what the thread
/// has of the state from channel `value` of V on; zero where there is none. Without a branch around it all,
/// over which the compiler would keep the state twice.
template <int KN, typename Place, typename Visit>
__device__ inline void eachStored(WideState<KN>& state, Place* states, int64_t number, int value, int K,
                                  int V, Visit&& visit) {
  const DeltaLane at;
#pragma unroll
  for (int panel = 0; panel < KN; panel++)
#pragma unroll
    for (int i = 0; i < 32; i++) {
      float& element = state[panel][i / 4][i % 4];
      const int channel = 64 * panel + 8 * (i / 4) + at.pairOf + i % 2;
      const int v = value + 16 * (at.warp % 4) + at.group + 8 * (i % 4 / 2);
      if (states != nullptr && channel < K && v < V)
        visit(element, states[(number * V + v) * K + channel]);
      else
        element = 0.0f;
    }
}

/// By one factor.
template <int KN>
__device__ inline void decay(WideState<KN>& state, float gamma) {
#pragma unroll
  for (int panel = 0; panel < KN; panel++)
#pragma unroll
    for (int i = 0; i < 32; i++) state[panel][i / 4][i % 4] *= gamma;
}

/// By a factor for each channel of K, in shared memory, unless it `stays`.
template <int KN>
__device__ inline void decayChannels(WideState<KN>& state, const float* gammas, bool stays) {
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
