#pragma once

#include <cuda.h>

#include <cstdint>

#include "arrivals.cuh"

// Hopper's copies in the background: boxes of tensors and flat runs of bytes, whose arrival a barrier
// (arrivals.cuh) counts. Elsewhere these functions do nothing, and the kernels that call them are not
// launched.

namespace longscan {

/// One box of a tensor of [batch, rows, heads, columns] that `map` describes; what lies outside of the tensor
/// becomes zeros. `arrival`: address of the barrier that counts its bytes.
__device__ inline void copyBox(uint32_t to, const CUtensorMap& map, uint32_t arrival, int column, int head,
                               int row, int batch) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5, "
      "%6}], [%2];" ::"r"(to),
      "l"(&map), "r"(arrival), "r"(column), "r"(head), "r"(row), "r"(batch)
      : "memory");
#endif
}

/// The other way, nothing outside of the tensor is written; belongs to the calling thread's group of runs.
__device__ inline void storeBox(const CUtensorMap& map, uint32_t from, int column, int head, int row,
                                int batch) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(&map),
      "r"(from), "r"(column), "r"(head), "r"(row), "r"(batch)
      : "memory");
#endif
}

/// The same for what nobody reads soon: it leaves the L2 cache before anything else does.
__device__ inline void storeBoxOnce(const CUtensorMap& map, uint32_t from, int column, int head, int row,
                                    int batch) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{ .reg .b64 policy; createpolicy.fractional.L2::evict_first.b64 policy, 1.0;\n"
      "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group.L2::cache_hint [%0, {%2, %3, %4, %5}], [%1], "
      "policy; }" ::"l"(&map),
      "r"(from), "r"(column), "r"(head), "r"(row), "r"(batch)
      : "memory");
#endif
}

/// `copyBox` by a whole warp, of which one thread is `elected`: no branch, after which the compiler would not
/// know any more that addresses are the same for all.
__device__ inline void copyBoxElected(bool elected, uint32_t to, const CUtensorMap& map, uint32_t arrival,
                                      int column, int head, int row, int batch) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{ .reg .pred elected; setp.ne.s32 elected, %7, 0;\n"
      "@elected cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, "
      "{%3, %4, %5, %6}], [%2]; }" ::"r"(to),
      "l"(&map), "r"(arrival), "r"(column), "r"(head), "r"(row), "r"(batch), "r"(static_cast<int>(elected))
      : "memory");
#endif
}

/// `bytes`, a multiple of 16, between places aligned to as much.
__device__ inline void copyRun(uint32_t to, const void* from, uint32_t bytes, uint32_t arrival) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
      "l"(from), "r"(bytes), "r"(arrival)
      : "memory");
#endif
}

/// From shared memory to global memory.
__device__ inline void storeRun(void* to, uint32_t from, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(from), "r"(bytes)
               : "memory");
#endif
}

/// The same, added to what is there.
__device__ inline void addRun(float* to, uint32_t from, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(to),
               "r"(from), "r"(bytes)
               : "memory");
#endif
}

/// Ends a group of runs that this thread stores or adds.
__device__ inline void commitRuns() {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#endif
}
/// Waits until shared memory may be written again.
__device__ inline void waitUntilRunsAreRead() {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
#endif
}
/// Waits until they are in global memory.
__device__ inline void waitForRuns() {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
#endif
}

}  // namespace longscan
