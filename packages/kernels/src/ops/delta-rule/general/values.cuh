#pragma once

#include "sweep.cuh"

// Sweeps whose free axis is the values': M acts on what a thread's own lanes read.

namespace longscan {

/// Channels of the free axis, for which those of a value are counted by its pitch.
__host__ __device__ inline int numFreeOf(const DeltaValuesCall& call) {
  return call.v.pitch + (call.factor ? call.shape.K : 0);
}
__host__ __device__ inline int numFreeOf(const DeltaValueAdjointsCall& call) {
  return call.valueReads.pitch;
}

template <int size, int channels, bool backward, bool diagonal, int numSums, int numKnown>
class DeltaValueSweep : public DeltaTokenSweep<size, channels, backward, numSums, numKnown> {
 protected:
  using Base = DeltaTokenSweep<size, channels, backward, numSums, numKnown>;
  using Base::Base, Base::P;
  using typename Base::Numbers;

  /// visit(number, its place in [B, H, V, K]) for those that exist
  template <typename Visit>
  __device__ void eachOfState(Visit&& visit) {
    const int K = this->shape.K, V = this->shape.V;
#pragma unroll
    for (int r = 0; r < channels; r++) {
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

  /// A token's decays by channel; the same in all where the gate is one a head, or none.
  __device__ Numbers decaysOf(const DeltaRow& row, int roleDecay) const {
    Numbers decays;
    if (diagonal) return this->numbers(row, roleDecay);
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) decays.x[j].x[i] = row.decay;
    }
    return decays;
  }
  __device__ static Numbers product(const Numbers& a, const Numbers& b) {
    Numbers product;
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) product.x[j].x[i] = a.x[j].x[i] * b.x[j].x[i];
    }
    return product;
  }
  /// While the lanes' sum is under way, and so not to be joined with what is added when it is there.
  __device__ void decay(const Numbers& decays) {
#pragma unroll
    for (int r = 0; r < channels; r++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) P[r][j][i] = __fmul_rn(P[r][j][i], decays.x[j].x[i]);
      }
    }
  }
};

/// run(size, channels, erase, whether the decay is diagonal), as constants
template <typename Run>
cudaError_t withDeltaKind(const DeltaShape& shape, int numFree, Run&& run) {
  return withDeltaSize(shape, shape.K, numFree, [&](auto size, auto channels) -> cudaError_t {
    if constexpr (size.value > 256) {
      return cudaErrorInvalidValue;
    } else {
      const auto ofErase = [&](auto erase) {
        return shape.decay.data ? run(size, channels, erase, std::true_type())
                                : run(size, channels, erase, std::false_type());
      };
      switch (shape.erase) {
        case longscanDeltaEraseKey:
          return ofErase(std::integral_constant<int, longscanDeltaEraseKey>());
        case longscanDeltaEraseOwn:
          return ofErase(std::integral_constant<int, longscanDeltaEraseOwn>());
        default:
          return ofErase(std::integral_constant<int, longscanDeltaEraseDplr>());
      }
    }
  });
}

}  // namespace longscan
