#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {
/// Elements whose squares are summed into one partial sum: fixed, so that the norm does not depend on the
/// number of threads.
constexpr int64_t gradNormBlock = 65536;
}  // namespace longscan

// Blocks [begin, end) of x [count]: blockSums[b] = sum of squares in f64.
LONGSCAN_KERNEL(squaresOfBlocks,
                (const float* x, double* blockSums, int64_t count, int64_t begin, int64_t end),
                (x, blockSums, count, begin, end))
LONGSCAN_KERNEL(squaresOfBlocks,
                (const double* x, double* blockSums, int64_t count, int64_t begin, int64_t end),
                (x, blockSums, count, begin, end))
