#pragma once

#include "../chunkwise/lane.cuh"
#include "../sweep/wide_products.cuh"

// The chain's state: the adjoint, transposed, in the sums of its products, [64 of V, 64 of K] for each 64
// channels of K; and sums as operands. `sweep/wide_chain.cuh` has the same for itself: with functions like
// these, its sweep of a gate per channel took 4 % longer (docs/benchmarks).

namespace longscan {

/// visit(element, its place in `states`, [.., V, K], of which the head's has this number) for what the thread
/// has of the state from channel `value` of V on; zero where there is none. Without a branch around it all,
/// with which the kernel spilled registers.
template <int panels, typename Place, typename Visit>
__device__ inline void eachOfState(Sums (&state)[panels], Place* states, int64_t number, int value, int K,
                                   int V, Visit&& visit) {
  const DeltaLane at;
#pragma unroll
  for (int panel = 0; panel < panels; panel++)
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

template <int panels>
__device__ inline void decay(Sums (&state)[panels], float gamma) {
#pragma unroll
  for (int panel = 0; panel < panels; panel++)
#pragma unroll
    for (int i = 0; i < 32; i++) state[panel][i / 4][i % 4] *= gamma;
}

/// Sums, rounded, as first operands.
__device__ inline void holdSums(MmaA (&a)[4], const Sums& sum) {
#pragma unroll
  for (int k = 0; k < 4; k++) a[k] = operandOf(sum, k);
}

/// First operands to a tile.
__device__ inline void storeHeld(Tile<64> tile, const MmaA (&a)[4]) {
#pragma unroll
  for (int k = 0; k < 4; k++) storeOperandA(tile, 16 * (threadIdx.x >> 5 & 3), k, a[k], threadIdx.x & 31);
}

}  // namespace longscan
