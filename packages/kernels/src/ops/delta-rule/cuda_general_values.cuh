#pragma once

#include "cuda_general_sweep.cuh"

// Sweeps whose free axis is the values': M acts on what a thread's own lanes read.

namespace longscan {

/// Channels of the free axis, for which those of a value are counted by its pitch.
__host__ __device__ inline int numFreeOf(const DeltaValuesCall& call) {
  return call.v.pitch + (call.factor ? call.shape.K : 0);
}
__host__ __device__ inline int numFreeOf(const DeltaValueAdjointsCall& call) {
  return call.valueReads.pitch;
}

template <int size, bool diagonal>
class DeltaValueSweep : public DeltaTokenSweep<size> {
 protected:
  using DeltaTokenSweep<size>::DeltaTokenSweep;

  /// visit(number, its place in [B, H, V, K]) for those that exist
  template <typename Visit>
  __device__ void eachOfState(Visit&& visit) {
    const int K = this->shape.K, V = this->shape.V;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int v = this->channel(r);
      if (v >= V) continue;
      const int64_t row = (this->bh * V + v) * K;
      this->eachNumber(r, [&](float& p, int c) {
        if (c < K) visit(p, row + c);
      });
    }
  }
  __device__ void loadState(const float* from) {
    if (from) eachOfState([&](float& p, int64_t place) { p = from[place]; });
  }
  __device__ void storeState(float* to) {
    if (to) eachOfState([&](float& p, int64_t place) { to[place] = p; });
  }

  /// A token's decay, in its first row.
  __device__ void decayNumbers(const DeltaRow& row, int roleDecay) {
    if (!row.isFirst) return;
    if (diagonal) {
      const auto decay = this->numbers(row, roleDecay);
#pragma unroll
      for (int r = 0; r < 2; r++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
          for (int i = 0; i < 4; i++) this->P[r][j][i] *= decay.x[j].x[i];
        }
      }
    } else if (this->shape.g) {
#pragma unroll
      for (int r = 0; r < 2; r++) this->eachNumber(r, [&](float& p, int) { p *= row.decay; });
    }
  }
};

/// run(size, erase, whether the decay is diagonal), as constants
template <typename Run>
cudaError_t withDeltaKind(const DeltaShape& shape, Run&& run) {
  return withDeltaSize(shape.K, [&](auto size) {
    const auto ofErase = [&](auto erase) {
      return shape.decay.data ? run(size, erase, std::true_type()) : run(size, erase, std::false_type());
    };
    switch (shape.erase) {
      case longscanDeltaEraseKey:
        return ofErase(std::integral_constant<int, longscanDeltaEraseKey>());
      case longscanDeltaEraseOwn:
        return ofErase(std::integral_constant<int, longscanDeltaEraseOwn>());
      default:
        return ofErase(std::integral_constant<int, longscanDeltaEraseDplr>());
    }
  });
}

}  // namespace longscan
