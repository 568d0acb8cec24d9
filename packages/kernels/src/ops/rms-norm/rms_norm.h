#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {
/// Rows whose share of the weight's gradient is summed into one row of `dwBlocks`; fixed, so that the result
/// does not depend on the number of threads. `blockRows` in index.ts.
constexpr int64_t rmsNormBlockRows = 64;
}  // namespace longscan

// Rows [begin, end) of x, y [rows, cols]: y = x * rstd * weight with rstd = 1 / sqrt(mean(x²) + eps), kept in
// rstd [rows].
LONGSCAN_KERNEL(rmsNormForward,
                (const float* x, const float* weight, float* y, float* rstd, int64_t cols, float eps,
                 int64_t begin, int64_t end),
                (x, weight, y, rstd, cols, eps, begin, end))
LONGSCAN_KERNEL(rmsNormForward,
                (const double* x, const double* weight, double* y, double* rstd, int64_t cols, double eps,
                 int64_t begin, int64_t end),
                (x, weight, y, rstd, cols, eps, begin, end))
// Blocks [begin, end) of rmsNormBlockRows rows: dx [rows, cols] and, unless null, dwBlocks [blocks, cols].
LONGSCAN_KERNEL(rmsNormBackward,
                (const float* dy, const float* x, const float* weight, const float* rstd, float* dx,
                 float* dwBlocks, int64_t rows, int64_t cols, int64_t begin, int64_t end),
                (dy, x, weight, rstd, dx, dwBlocks, rows, cols, begin, end))
LONGSCAN_KERNEL(rmsNormBackward,
                (const double* dy, const double* x, const double* weight, const double* rstd, double* dx,
                 double* dwBlocks, int64_t rows, int64_t cols, int64_t begin, int64_t end),
                (dy, x, weight, rstd, dx, dwBlocks, rows, cols, begin, end))
