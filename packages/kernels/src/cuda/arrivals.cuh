#pragma once

#include <cstdint>

#include "tile.cuh"
#include "warp_arrival.cuh"

// Barriers in shared memory (mbarriers) at which threads and, on Hopper, copies in the background announce
// themselves to others of the block. `barrier`: address of 8 bytes. A phase is complete when so many have
// arrived as the barrier was made for, and all bytes are there that somebody has said to expect. Phases are
// 0, 1, .., of which only the parity counts: whoever waits for one is at most one ahead.

namespace longscan {

/// Once, by one thread, before others use it: a phase is complete after `count` arrivals.
__device__ inline void initArrivals(uint32_t barrier, int count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

/// After some `initArrivals`, before a barrier of the block: copies in the background see them.
__device__ inline void publishBarriers() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

__device__ inline void arrive(uint32_t barrier) {
  asm volatile("{ .reg .b64 phase; mbarrier.arrive.shared.b64 phase, [%0]; }" ::"r"(barrier) : "memory");
}

/// As often as so many threads would. On Hopper.
__device__ inline void arriveTimes(uint32_t barrier, int times) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(times) : "memory");
#endif
}

/// For the calling warp, all lanes of which have come so far.
__device__ inline void arriveOfWarp(uint32_t barrier) {
  if (arrivesForWarp()) arrive(barrier);
}

/// The present phase is not complete before so many more bytes of copies in the background are there. On
/// Hopper.
__device__ inline void expectBytes(uint32_t barrier, int bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
#endif
}

/// The same, and arrives.
__device__ inline void arriveExpecting(uint32_t barrier, int bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
#endif
}

/// `arriveExpecting` by a whole warp, of which one thread is `elected`: no branch, after which the compiler
/// would not know any more that addresses are the same for all.
__device__ inline void arriveExpectingElected(bool elected, uint32_t barrier, uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{ .reg .pred elected; setp.ne.s32 elected, %2, 0;\n"
      "@elected mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1; }" ::"r"(barrier),
      "r"(bytes), "r"(static_cast<int>(elected))
      : "memory");
#endif
}

/// Arrives when this thread's `copyAsync` so far are there.
__device__ inline void arriveWhenCopied(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
}

/// The present phase is not complete before they are there; somebody's arrival has to come after this.
__device__ inline void expectCopies(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.shared.b64 [%0];" ::"r"(barrier) : "memory");
}

#if __CUDA_ARCH__ >= 900
#define LONGSCAN_WAIT "mbarrier.try_wait.parity.shared.b64"
#else
#define LONGSCAN_WAIT "mbarrier.test_wait.parity.shared.b64"
#endif

/// Waits until phase `phase` is complete; the one after it must not be. To the compiler one instruction, not
/// a loop, so that what is scheduled around it stays as it is.
__device__ inline void awaitArrivals(uint32_t barrier, int phase) {
  asm volatile("{ .reg .pred done;\nagain: " LONGSCAN_WAIT
               " done, [%0], %1;\n@!done bra again; }" ::"r"(barrier),
               "r"(phase & 1)
               : "memory");
}

/// Whether the phase of this parity is complete, perhaps after some waiting; of a fresh barrier that of
/// parity 1 is.
__device__ inline bool isComplete(uint32_t barrier, uint32_t parity) {
  uint32_t complete;
  asm volatile("{ .reg .pred complete; " LONGSCAN_WAIT " complete, [%1], %2; selp.u32 %0, 1, 0, complete; }"
               : "=r"(complete)
               : "r"(barrier), "r"(parity)
               : "memory");
  return complete != 0;
}

#undef LONGSCAN_WAIT

/// A barrier by its address.
struct BarrierAddress {
  static constexpr int bytes = 8;
  uint32_t address;

  __device__ operator uint32_t() const { return address; }
  __device__ void init(int arrivals) const { initArrivals(address, arrivals); }
  __device__ void arrive() const { longscan::arrive(address); }
  __device__ void expectCopies() const { longscan::expectCopies(address); }
  __device__ bool isOver(uint32_t parity) const { return isComplete(address, parity); }
  /// For the phase of this parity.
  __device__ void wait(uint32_t parity) const {
    while (!isOver(parity)) {
    }
  }
};

/// A barrier as a member of what lies in shared memory.
struct ArrivalBarrier {
  uint64_t state;

  __device__ uint32_t address() const { return sharedAddress(&state); }
  /// As copies take it.
  __device__ operator uint32_t() const { return address(); }
  __device__ void init(int arrivals) { initArrivals(address(), arrivals); }
  __device__ void arrive() { longscan::arrive(address()); }
  __device__ void arrive(int times) { arriveTimes(address(), times); }
  __device__ void arriveExpecting(uint32_t bytes) { longscan::arriveExpecting(address(), bytes); }
  __device__ void wait(int phase) { awaitArrivals(address(), phase); }
};

}  // namespace longscan
