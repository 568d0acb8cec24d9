#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

#include "../../comm/peer/chain_cut.h"

// A rank's part of a chain through mapped memory, which is the host's here: the protocol of
// comm/peer/chain.cu, lane after lane.

/// Element `at` of M S + E, where M is nothing or one number a head.
inline float applyFake(const LongscanTransition& task, int64_t at, float S) {
  const int64_t head = at / task.rowLength / task.rowsPerHead;
  if (task.reset != nullptr && task.reset[head / task.headsPerBatch] != 0) return task.E[at];
  return task.E[at] + (task.factor == nullptr ? S : task.factor[head] * S);
}

inline uint64_t loadFakeCount(const LongscanPeerCounter& counter) {
  return __atomic_load_n(&counter.count, __ATOMIC_ACQUIRE);
}
inline void storeFakeCount(LongscanPeerCounter& counter, uint64_t count) {
  __atomic_store_n(&counter.count, count, __ATOMIC_RELEASE);
}

inline bool awaitFakeCount(const LongscanPeerChain& chain, const LongscanPeerCounter& counter,
                           uint64_t wanted) {
  while (loadFakeCount(counter) < wanted) {
    for (const LongscanPeerLink& link : {chain.prev, chain.next}) {
      if (link.own != nullptr && loadFakeCount(link.own->gone) != 0)
        __atomic_store_n(chain.lost, link.side, __ATOMIC_RELEASE);
    }
    if (__atomic_load_n(chain.abort, __ATOMIC_ACQUIRE) != 0) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

inline void runFakeChain(const LongscanPeerChain& chain) {
  const LongscanTransition& task = chain.task;
  const LongscanPeerLink &prev = chain.prev, &next = chain.next;
  const auto N = static_cast<int>(task.rowLength);
  const longscan::ChainCut cut(static_cast<int>(chain.numRows), N,
                               static_cast<longscan::TransitionKind>(task.kind));
  for (int lane = 0; lane < cut.lanes; lane++) {
    const int end = cut.begin(lane + 1);
    uint64_t& number = chain.passed[lane];
    for (int begin = cut.begin(lane); begin < end; begin += cut.rowsPerBlock, number++) {
      if ((prev.own != nullptr && !awaitFakeCount(chain, prev.own->arrived[lane], number + 1)) ||
          (next.own != nullptr && number >= longscanPeerSlots &&
           !awaitFakeCount(chain, next.own->taken[lane], number + 1 - longscanPeerSlots)))
        return;
      const uint64_t slot = number % longscanPeerSlots;
      const int count = std::min(cut.rowsPerBlock, end - begin) * N;
      for (int i = 0; i < count; i++) {
        const int64_t at = int64_t{begin} * N + i;
        float out = task.E[at];
        if (prev.own != nullptr) {
          chain.incoming[at] = prev.own->slots[lane][slot][i];
          out = applyFake(task, at, chain.incoming[at]);
        }
        if (next.own != nullptr) next.theirs->slots[lane][slot][i] = out;
      }
      if (next.own != nullptr) storeFakeCount(next.theirs->arrived[lane], number + 1);
      if (prev.own != nullptr) storeFakeCount(prev.theirs->taken[lane], number + 1);
    }
  }
}
