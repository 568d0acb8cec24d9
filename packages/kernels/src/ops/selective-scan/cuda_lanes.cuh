#pragma once

#include "cuda/pack.cuh"

// A warp has one channel. Its lanes have L tokens in succession each, for all numbers of state one after the
// other; what those tokens do to one of them is an affine map, and the maps of the lanes are scanned by
// shuffles.

namespace longscan {

constexpr float log2e = 1.4426950408889634f;

/// exp(delta A), given rateOf(A). To the last bit but one where data are f32, else by the hardware's
/// exponential.
template <typename Element>
__device__ inline float rateOf(float A) {
  return sizeof(Element) == 4 ? A : A * log2e;
}
template <typename Element>
__device__ inline float decayOf(float rate, float delta) {
  if (sizeof(Element) == 4) return expf(rate * delta);
  float decay;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(decay) : "f"(rate * delta));
  return decay;
}

/// Folds the lanes' maps towards higher lanes, or lower ones if `down`. Where documents start is the same for
/// all numbers of state, so it is worked out once: `joins` has a bit for each level at which a lane takes in
/// another.
template <bool down>
struct LaneScan {
  static constexpr int first = down ? 31 : 0, last = 31 - first;
  int lane;
  unsigned joins = 0;
  bool open;  // no start in the lane's own tokens

  __device__ LaneScan(int lane, bool starts) : lane(lane), open(!starts) {
    bool closed = starts;
#pragma unroll
    for (int level = 0; level < 5; level++) {
      const int other = shift(static_cast<int>(closed), 1 << level);
      if (!has(1 << level)) continue;
      if (!closed) joins |= 1u << level;
      closed = closed || other;
    }
  }

  template <typename Value>
  static __device__ Value shift(Value value, int distance) {
    return down ? __shfl_down_sync(~0u, value, distance) : __shfl_up_sync(~0u, value, distance);
  }
  __device__ bool has(int distance) const {
    return down ? lane + distance < 32 : lane >= distance;
  }

  /// state' = decay * state + end of the lane's tokens, `carried` the state before the first lane's. Returns
  /// the state before the lane's own tokens; `carried` becomes the one after all of them.
  __device__ float operator()(float decay, float end, float& carried) const {
    if (lane == first && open) end = fmaf(decay, carried, end);
#pragma unroll
    for (int level = 0; level < 5; level++) {
      const float otherEnd = shift(end, 1 << level), otherDecay = shift(decay, 1 << level);
      if (!(joins >> level & 1)) continue;
      end = fmaf(decay, otherEnd, end);
      decay *= otherDecay;
    }
    const float before = shift(end, 1), entering = lane == first ? carried : before;
    carried = __shfl_sync(~0u, end, last);
    return entering;
  }
};

}  // namespace longscan
