#pragma once

#include <cuda_runtime.h>

#include <cstdint>

// Copies that threads of other roles wait for: arrivals at an mbarrier in shared memory, and on Hopper and
// newer bulk copies of contiguous bytes. `barrier`: address in shared memory of 8 bytes.

namespace longscan {

/// Once, by one thread, before others use it: a phase is complete after `count` arrivals.
__device__ inline void initArrivals(uint32_t barrier, int count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

/// After some `initArrivals`, before a barrier of the block: bulk copies see them.
__device__ inline void publishArrivals() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void arrive(uint32_t barrier) {
  asm volatile("{ .reg .b64 phase; mbarrier.arrive.shared.b64 phase, [%0]; }" ::"r"(barrier) : "memory");
}

/// Arrives when this thread's `copyAsync` so far are there.
__device__ inline void arriveWhenCopied(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
}

/// Waits until phase `phase` (0, 1, ..) is complete; the one after it must not be.
__device__ inline void awaitArrivals(uint32_t barrier, int phase) {
#if __CUDA_ARCH__ >= 900
#define LONGSCAN_WAIT "mbarrier.try_wait.parity"
#else
#define LONGSCAN_WAIT "mbarrier.test_wait.parity"
#endif
  asm volatile("{\n.reg .pred done;\nagain:\n" LONGSCAN_WAIT
               ".shared.b64 done, [%0], %1;\n@done bra ready;\nbra again;\nready:\n}" ::"r"(barrier),
               "r"(phase & 1)
               : "memory");
#undef LONGSCAN_WAIT
}

/// The present phase is not complete before so many more bytes of bulk copies are there.
__device__ inline void expectBytes(uint32_t barrier, int bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
#endif
}

/// Copies contiguous bytes to shared memory and arrives when they are there.
__device__ inline void copyBulk(uint32_t to, const void* from, int bytes, uint32_t barrier) {
  asm volatile("{ .reg .b64 phase; mbarrier.arrive.expect_tx.shared.b64 phase, [%0], %1; }" ::"r"(barrier),
               "r"(bytes)
               : "memory");
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier)
      : "memory");
}

/// Brings contiguous bytes into the L2 cache.
__device__ inline void prefetchBulk(const void* from, int bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}

/// Starts to copy contiguous bytes from shared memory; they were published to the async proxy.
__device__ inline void storeBulk(void* to, uint32_t from, int bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(from), "r"(bytes)
               : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// Until this thread's bulk stores have read shared memory.
__device__ inline void waitForBulkReads() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

}  // namespace longscan
