#pragma once

#include <cstdint>

#include "chain.h"

// Counters between GPUs: plain loads and stores of 64 bits at system scope, which NVLink and PCI Express both
// carry; no atomics.

namespace longscan {

/// What other threads wrote before the count was stored is seen after this.
__device__ inline uint64_t loadCount(const LongscanPeerCounter& counter) {
  uint64_t count;
  asm volatile("ld.acquire.sys.u64 %0, [%1];" : "=l"(count) : "l"(&counter.count) : "memory");
  return count;
}

/// Behind a `__threadfence_system()`.
__device__ inline void storeCount(LongscanPeerCounter& counter, uint64_t count) {
  asm volatile("st.relaxed.sys.u64 [%0], %1;" ::"l"(&counter.count), "l"(count) : "memory");
}

__device__ inline bool isGone(const LongscanPeerLink& link) {
  return link.own != nullptr && loadCount(link.own->gone) != 0;
}

/// Until the counter has come to `wanted`; false if this rank was told to stop. Of a neighbour that has given
/// up the host hears, and only the host ends the wait: work behind the kernel must not run before all know
/// that it is for nothing. By one thread of a block.
__device__ inline bool awaitCount(const LongscanPeerChain& chain, int lane,
                                  const LongscanPeerCounter& counter, uint64_t wanted) {
  bool isTold = false;
  for (unsigned i = 1; loadCount(counter) < wanted; i++) {
    // Where two processes share a GPU the other one has its turn only when this one's has passed.
    if (i > 1000) __nanosleep(100);
    if (i % 64 == 0 && !isTold) {
      const int lost = isGone(chain.prev) ? chain.prev.side : isGone(chain.next) ? chain.next.side : 0;
      isTold = lost != 0;
      if (isTold) *static_cast<volatile int*>(chain.lost) = lost;
    }
    // Seldom, and the lanes in turn: reads of host memory queue up, two microseconds each.
    if ((i + 128 * static_cast<unsigned>(lane)) % 4096 == 0 &&
        *static_cast<const volatile int*>(chain.abort) != 0)
      return false;
  }
  return true;
}

}  // namespace longscan
