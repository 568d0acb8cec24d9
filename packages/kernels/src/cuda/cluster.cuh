#pragma once

#include <cuda.h>

#include <cstdint>

// Blocks that run side by side as one cluster, on Hopper: each reaches the others' shared memory. Elsewhere
// these functions do nothing, and the kernels that call them are not launched.

namespace longscan {

/// The calling thread's block among those of its cluster.
__device__ inline uint32_t rankInCluster() {
  uint32_t rank = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return rank;
}

/// A barrier of all threads of a cluster.
__device__ inline void joinCluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
#endif
}

/// Arrives at the barrier of block `rank` that lies where `barrier` does in the calling thread's. It tells
/// that block of nothing that was written: a release for a whole cluster would be a fence for the whole GPU.
__device__ inline void arriveInCluster(uint32_t barrier, uint32_t rank) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{ .reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote]; }" ::"r"(barrier),
      "r"(rank)
      : "memory");
#endif
}

/// `copyBox` to the same place in all blocks whose bit is set in `ranks`, whose own barriers count its bytes.
__device__ inline void copyBoxToBlocks(uint16_t ranks, uint32_t to, const CUtensorMap& map, uint32_t arrival,
                                       int column, int head, int row, int batch) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%3, %4, %5, %6}], [%2], %7;" ::"r"(to),
      "l"(&map), "r"(arrival), "r"(column), "r"(head), "r"(row), "r"(batch), "h"(ranks)
      : "memory");
#endif
}

}  // namespace longscan
