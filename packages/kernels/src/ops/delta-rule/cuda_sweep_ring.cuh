#pragma once

#include <cstdint>

#include "cuda/tile.cuh"
#include "cuda/warp_arrival.cuh"

// How the parts of a sweep's block wait for each other: barriers in shared memory, and rings of what is
// loaded ahead.

namespace longscan {

/// A barrier that completes a phase when all have arrived whom it was made for.
struct SweepBarrier {
  static constexpr int bytes = 8;
  uint32_t address;

  /// One thread, before anybody uses it.
  __device__ void init(int arrivals) const {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(address), "r"(arrivals) : "memory");
  }

  __device__ void arrive() const {
    asm volatile("{ .reg .b64 state; mbarrier.arrive.shared.b64 state, [%0]; }" ::"r"(address) : "memory");
  }

  /// The phase does not complete before the calling thread's copies so far have arrived; somebody's `arrive`
  /// has to come after this.
  __device__ void expectCopies() const {
    asm volatile("cp.async.mbarrier.arrive.shared.b64 [%0];" ::"r"(address) : "memory");
  }

  /// Waits for the phase of this parity; of a fresh barrier the phase of parity 1 is over.
  __device__ void wait(uint32_t parity) const {
    while (!isOver(parity)) {
    }
  }

  /// Whether the phase of this parity is over, perhaps after some waiting.
  __device__ bool isOver(uint32_t parity) const {
    uint32_t done;
#if __CUDA_ARCH__ >= 900
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(address), "r"(parity)
                 : "memory");
#else
    asm volatile("{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(address), "r"(parity)
                 : "memory");
#endif
    return done != 0;
  }
};

/// The calling warp has come so far; its reads and, where products are to see them, its writes are done.
__device__ inline void arriveAsWarp(SweepBarrier barrier) {
  if (arrivesForWarp()) barrier.arrive();
}

/// Where somebody is in a ring, and how often he went round, modulo 2.
struct RingPlace {
  int slot = 0;
  uint32_t round = 0;

  /// `by` at most `size`.
  __device__ RingPlace ahead(int by, int size) const {
    return slot + by < size ? RingPlace{slot + by, round} : RingPlace{slot + by - size, round ^ 1};
  }
};

}  // namespace longscan
