#pragma once

#include "cuda_sweep_maps.h"
#include "cuda_sweep_ring.cuh"

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

/// One thread, after it has made barriers: the copy engine knows them from here on.
__device__ inline void publishBarriers() {
#if LONGSCAN_COPY_ENGINE
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

/// Arrives, and has the phase wait for so many bytes of the copy engine's besides.
__device__ inline void arriveExpecting(SweepBarrier barrier, int bytes) {
#if LONGSCAN_COPY_ENGINE
  asm volatile(
      "{ .reg .b64 state; mbarrier.arrive.expect_tx.shared.b64 state, [%0], %1; }" ::"r"(barrier.address),
      "r"(bytes)
      : "memory");
#endif
}

/// A box of a tensor to shared memory.
__device__ inline void copyBox(uint32_t to, const CUtensorMap& map, int column, int head, int token,
                               int batch, SweepBarrier full) {
#if LONGSCAN_COPY_ENGINE
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(to),
      "l"(&map), "r"(column), "r"(head), "r"(token), "r"(batch), "r"(full.address)
      : "memory");
#endif
}

/// Bytes that lie together, a multiple of 16.
__device__ inline void copyBytes(uint32_t to, const void* from, int bytes, SweepBarrier full) {
#if LONGSCAN_COPY_ENGINE
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
      "l"(from), "r"(bytes), "r"(full.address)
      : "memory");
#endif
}

}  // namespace longscan
