#pragma once

#include "../sweep/sweep.h"

namespace longscan {

/// Which chunks are prepared by whom: all heads' first chunks first, as the sweep takes them. Beside a sweep
/// those who prepare draw numbers, and some blocks leave off early, for the sweep to begin where they were.
/// The others prepare all that is left, wherever they run.
struct DeltaPrepareTasks {
  int count;        // chunks of all heads
  int32_t* drawn;   // how many numbers have been drawn; null: everybody has every so-many-th chunk
  int leaving;      // blocks, the first ones, that leave off; never all
  int leavesAfter;  // so many chunks
};

/// A walk through the tasks of a warpgroup or block, whose present task is a number in shared memory: in a
/// register it would be in the way.
struct PrepareWalk {
  const DeltaPrepareTasks& tasks;
  int* const task;

  __device__ bool done() const { return *task >= tasks.count; }

  /// The first of `index`; one thread, then all meet.
  __device__ void begin(int index) const { *task = tasks.drawn != nullptr ? draw(0) : index; }

  /// To the next, after a meeting of the threads; one thread, then all meet. `stride`: how many walk.
  __device__ void advance(int stride) const {
    *task = tasks.drawn != nullptr ? draw(*task + 1) : *task + stride;
  }

 private:
  __device__ int draw(int past) const {
    const bool leaves = past >= tasks.leavesAfter && static_cast<int>(blockIdx.x) < tasks.leaving;
    return leaves ? tasks.count : atomicAdd(tasks.drawn, 1);
  }
};

/// `blocks`: how many prepare, at most one to a multiprocessor. `timeRatio`: what one head's chunk takes a
/// sweep's block, in what preparing it takes a multiprocessor. So the sweep begins when what is left to
/// prepare takes as long as the sweep.
inline DeltaPrepareTasks prepareTasks(const DeltaDevice& device, int64_t heads, int64_t T, int K, int V,
                                      int32_t* prepared, int blocks, float timeRatio) {
  const int count = static_cast<int>((T + tileTokens - 1) / tileTokens * heads);
  if (prepared == nullptr) return {count, nullptr, 0, 0};
  const int idle = deltaSweepLeaves(device, heads, K, V);
  const float before = 1.0f - timeRatio * idle / heads;
  return {count, prepared + count, blocks > idle ? blocks - idle : 0,
          before > 0.0f ? static_cast<int>(before * count) : 0};
}

}  // namespace longscan
