#pragma once

#include "cuda/bulk_copy.cuh"

// How the parts of a sweep's block hand contiguous bytes to each other and to later kernels.

namespace longscan {

/// Copies contiguous bytes to shared memory and arrives when they are there.
__device__ inline void copyBulk(uint32_t to, const void* from, int bytes, uint32_t barrier) {
  arriveExpecting(barrier, bytes);
  copyRun(to, from, bytes, barrier);
}

/// Brings contiguous bytes into the L2 cache.
__device__ inline void prefetchBulk(const void* from, int bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}

/// Starts to copy contiguous bytes from shared memory; they were published to the async proxy.
__device__ inline void storeBulk(void* to, uint32_t from, int bytes) {
  storeRun(to, from, bytes);
  commitRuns();
}

}  // namespace longscan
