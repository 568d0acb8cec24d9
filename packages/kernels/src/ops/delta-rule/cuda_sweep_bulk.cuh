#pragma once

#include "cuda_sweep_maps.h"
#include "cuda_sweep_ring.cuh"

// Hopper's copy engine and clusters of blocks. Elsewhere nothing of a sweep calls on them: every block is a
// cluster of its own, and its warps copy.

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define LONGSCAN_COPY_ENGINE 1
#else
#define LONGSCAN_COPY_ENGINE 0
#endif

namespace longscan {

/// The calling block's number in its cluster.
__device__ inline uint32_t clusterRank() {
  uint32_t rank = 0;
#if LONGSCAN_COPY_ENGINE
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return rank;
}

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

/// All threads of a cluster meet; barriers that were made before are there for all of them.
__device__ inline void meetCluster() {
#if LONGSCAN_COPY_ENGINE
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("barrier.cluster.arrive.release; barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

/// Arrives at the barrier in the same place of another block of the cluster. What it tells is that reads are
/// over, so it is not `.release.cluster`, which waits for the thread's stores to global memory.
__device__ inline void arriveInCluster(SweepBarrier barrier, uint32_t rank) {
#if LONGSCAN_COPY_ENGINE
  asm volatile(
      "{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1; "
      "mbarrier.arrive.shared::cluster.b64 _, [remote]; }" ::"r"(barrier.address),
      "r"(rank)
      : "memory");
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

/// A box of a tensor to shared memory; with `sharers` > 1 to the same place of all blocks of the cluster.
__device__ inline void copyBox(uint32_t to, const CUtensorMap& map, int column, int head, int token,
                               int batch, SweepBarrier full, int sharers) {
#if LONGSCAN_COPY_ENGINE
  if (sharers == 1)
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(to),
        "l"(&map), "r"(column), "r"(head), "r"(token), "r"(batch), "r"(full.address)
        : "memory");
  else
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%2, %3, %4, %5}], [%6], %7;" ::"r"(to),
        "l"(&map), "r"(column), "r"(head), "r"(token), "r"(batch), "r"(full.address),
        "h"(static_cast<uint16_t>((1 << sharers) - 1))
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
