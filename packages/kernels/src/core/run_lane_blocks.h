#pragma once

#include <vector>

#include "lane_block.h"
#include "parallel.h"

namespace longscan {

inline int64_t numLaneBlocks(int64_t numChannels) {
  return (numChannels + laneBlock - 1) / laneBlock;
}

/// Runs a kernel over `numBlocks` blocks of channels, a fixed share per thread, each thread with
/// `scratchSize` numbers of its own. `workPerBlock`: elementary steps, to tell whether threads pay.
template <typename Task, typename Real>
void runLaneBlocks(ThreadPool& pool, const Task& task, int64_t numBlocks, int64_t workPerBlock,
                   int64_t scratchSize,
                   void (*kernel)(const Task&, int64_t begin, int64_t end, Real* scratch)) {
  parallelFor(pool, numBlocks, workPerBlock, [&](int64_t begin, int64_t end) {
    std::vector<Real> scratch(static_cast<size_t>(scratchSize));
    kernel(task, begin, end, scratch.data());
  });
}

}  // namespace longscan
