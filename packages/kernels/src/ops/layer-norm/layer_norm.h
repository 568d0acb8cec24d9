#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {
/// Positions whose share of the gradients of weight and bias is summed into one row of `dwBlocks` and
/// `dbBlocks`; fixed, so that the result does not depend on the number of threads. `numSumBlocks` in
/// sum-rows.
constexpr int64_t layerNormBlockRows = 64;
}  // namespace longscan

// Rows [begin, end) of x, y [positions * groups, cols]: y = (x - mean) * rstd * weight + bias, with row r's
// weight and bias (null: none) in row r mod groups of [groups, cols]. stats [rows, 2] = (mean, rstd).
LONGSCAN_KERNEL(layerNormForward,
                (const float* x, const float* weight, const float* bias, float* y, float* stats,
                 int64_t groups, int64_t cols, float eps, int64_t begin, int64_t end),
                (x, weight, bias, y, stats, groups, cols, eps, begin, end))
LONGSCAN_KERNEL(layerNormForward,
                (const double* x, const double* weight, const double* bias, double* y, double* stats,
                 int64_t groups, int64_t cols, double eps, int64_t begin, int64_t end),
                (x, weight, bias, y, stats, groups, cols, eps, begin, end))
// Blocks [begin, end) of layerNormBlockRows positions: dx, and unless null dwBlocks and dbBlocks
// [blocks, groups, cols].
LONGSCAN_KERNEL(layerNormBackward,
                (const float* dy, const float* x, const float* weight, const float* stats, float* dx,
                 float* dwBlocks, float* dbBlocks, int64_t positions, int64_t groups, int64_t cols,
                 int64_t begin, int64_t end),
                (dy, x, weight, stats, dx, dwBlocks, dbBlocks, positions, groups, cols, begin, end))
LONGSCAN_KERNEL(layerNormBackward,
                (const double* dy, const double* x, const double* weight, const double* stats, double* dx,
                 double* dwBlocks, double* dbBlocks, int64_t positions, int64_t groups, int64_t cols,
                 int64_t begin, int64_t end),
                (dy, x, weight, stats, dx, dwBlocks, dbBlocks, positions, groups, cols, begin, end))
