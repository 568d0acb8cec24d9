#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {
/// Rows whose share of the weight's gradient is summed into one row of `dwBlocks`; fixed, so that the result
/// does not depend on the number of threads. `numSumBlocks` in sum-rows.
constexpr int64_t rmsNormBlockRows = 64;

template <typename T>
struct RmsNormForward {
  const T* x;       // [rows, cols]
  const T* branch;  // [rows, cols], or null: none is added
  const T* weight;  // [cols]; null: no weights, and the sum of a row's squares in place of their mean
  T* sum;           // [rows, cols] x + branch, which is normed; null with branch
  T* y;             // [rows, cols] = (x + branch) rstd weight
  T* rstd;          // [rows] = 1 / sqrt(mean((x + branch)²) + eps)
  int64_t cols;
  T eps;
};

template <typename T>
struct RmsNormBackward {
  const T* dy;      // [rows, cols]
  const T* x;       // [rows, cols], what was normed
  const T* weight;  // as in the forward pass
  const T* rstd;    // [rows]
  const T* dSum;    // [rows, cols], added to the norm's gradient, or null
  T* dx;            // [rows, cols]
  T* dwBlocks;      // [blocks, cols], or null: not wanted
  T* y;             // [rows, cols], as the forward pass gave it, or null: not wanted; may be dy
  int64_t rows, cols;
};
}  // namespace longscan

// Rows [begin, end).
LONGSCAN_KERNEL(rmsNormForward, (const RmsNormForward<float>& call, int64_t begin, int64_t end),
                (call, begin, end))
LONGSCAN_KERNEL(rmsNormForward, (const RmsNormForward<double>& call, int64_t begin, int64_t end),
                (call, begin, end))
// Blocks [begin, end) of rmsNormBlockRows rows.
LONGSCAN_KERNEL(rmsNormBackward, (const RmsNormBackward<float>& call, int64_t begin, int64_t end),
                (call, begin, end))
LONGSCAN_KERNEL(rmsNormBackward, (const RmsNormBackward<double>& call, int64_t begin, int64_t end),
                (call, begin, end))
