#pragma once

#include "cuda/bulk_copy.cuh"
#include "maps.h"
#include "ring.cuh"

// Hopper's copy engine. Elsewhere nothing of a sweep calls on it: the warps copy.

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define LONGSCAN_COPY_ENGINE 1
#else
#define LONGSCAN_COPY_ENGINE 0
#endif

namespace longscan {

/// True in one lane of the warp, always the same, which all lanes reach together.
__device__ inline bool electLane() {
#if LONGSCAN_COPY_ENGINE
  uint32_t elected;
  asm volatile("{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p; }"
               : "=r"(elected)::"memory");
  return elected != 0;
#else
  return (threadIdx.x & 31) == 0;
#endif
}

}  // namespace longscan
