#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace longscan {

/// A thread's weights: the first in registers, further ones in shared memory as far as that goes, the rest in
/// the cache. Where they are changes no sum's order.
struct ThreadWeights {
  static constexpr int inRegisters = 8;
  float own[inRegisters];
  const float* shared;
  int inShared;  // number of the first that is not there

  /// `at(i)`: where the i-th of `count` is in memory; `memory` holds `room` numbers for each thread of the
  /// block.
  template <typename At>
  __device__ void load(int count, float* memory, int room, At&& at) {
#pragma unroll
    for (int i = 0; i < inRegisters; i++) own[i] = i < count ? *at(i) : 0.0f;
    shared = memory + threadIdx.x;
    inShared = min(count, inRegisters + room);
    for (int i = inRegisters; i < inShared; i++)
      memory[(i - inRegisters) * blockDim.x + threadIdx.x] = *at(i);
  }
  __device__ float ofShared(int i) const {
    return shared[(i - inRegisters) * blockDim.x];
  }
};

/// Bytes of shared memory that a block of this GPU may have.
inline cudaError_t mostSharedBytes(int* bytes) {
  int device = 0;
  const cudaError_t error = cudaGetDevice(&device);
  return error ? error : cudaDeviceGetAttribute(bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
}

/// Numbers for each of `threads` threads, of `wanted`, that fit beside `taken` numbers.
inline int roomForWeights(int most, int taken, int threads, int wanted) {
  const int beside = (most / static_cast<int>(sizeof(float)) - taken) / threads;
  return wanted < beside ? (wanted > 0 ? wanted : 0) : beside;
}

// By the hardware's exponential and logarithm: a token waits for all of them. Their errors, some 1e-6 of what
// is summed, are below those of a step.
__device__ inline float logSigmoid(float x) {
  return (x < 0.0f ? x : 0.0f) - __logf(1.0f + __expf(-fabsf(x)));
}
__device__ inline float sigmoid(float x) {
  return __fdividef(1.0f, 1.0f + __expf(-x));
}
__device__ inline float tangent(float x) {
  return 2.0f * sigmoid(2.0f * x) - 1.0f;
}

}  // namespace longscan
