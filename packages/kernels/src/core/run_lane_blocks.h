#pragma once

#include "lane_block.h"
#include "scratch.h"

namespace longscan {

inline int64_t numLaneBlocks(int64_t numChannels) {
  return (numChannels + laneBlock - 1) / laneBlock;
}

/// Runs a kernel over `numBlocks` blocks of channels, a fixed share per thread, each thread with
/// `scratchSize` numbers of its own.
template <typename Task, typename Real>
void runLaneBlocks(ThreadPool& pool, const Task& task, int64_t numBlocks, int64_t scratchSize,
                   void (*kernel)(const Task&, int64_t begin, int64_t end, Real* scratch)) {
  const size_t bytes = static_cast<size_t>(scratchSize) * sizeof(Real);
  runWithScratch(pool, numBlocks, bytes, [&](int64_t begin, int64_t end, void* scratch) {
    kernel(task, begin, end, static_cast<Real*>(scratch));
  });
}

}  // namespace longscan
