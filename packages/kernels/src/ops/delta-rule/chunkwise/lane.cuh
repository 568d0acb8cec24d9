#pragma once

#include "cuda/mma.cuh"
#include "cuda/pieces.cuh"

namespace longscan {

/// Where a thread's part of a 16 x 8 accumulator lies.
struct DeltaLane {
  int lane, warp;
  int group;   // row, and row + 8
  int pairOf;  // column, and column + 1

  __device__ explicit DeltaLane(uint32_t thread)
      : lane(thread & 31), warp(thread >> 5), group(lane >> 2), pairOf(2 * (lane & 3)) {}
  __device__ DeltaLane() : DeltaLane(threadIdx.x) {}
};

/// threadIdx.x, and any other number, anew: what is reckoned from them would otherwise be kept in registers
/// from one end of a kernel to the other.
__device__ inline int threadAnew() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}
template <typename Number>
__device__ inline Number anew(Number x) {
  asm volatile("" : "+r"(x));
  return x;
}

__device__ inline float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Sums of 64 log decays in base 2, up to and with each row, from natural ones; all lanes of a warp together.
__device__ inline void sumLogGates(const float* gates, float* sums, int lane) {
  constexpr float log2e = 1.4426950408889634f;
  const float2 own = reinterpret_cast<const float2*>(gates)[lane];
  float upTo = (own.x + own.y) * log2e;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const float earlier = __shfl_up_sync(~0u, upTo, distance);
    if (lane >= distance) upTo += earlier;
  }
  reinterpret_cast<float2*>(sums)[lane] = make_float2(upTo - own.y * log2e, upTo);
  __syncwarp();
}

}  // namespace longscan
