#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {
/// Rows whose share of the weight's gradient is summed into one row of `dwBlocks`; fixed, so that the result
/// does not depend on the number of threads. `numSumBlocks` in sum-rows.
constexpr int64_t gatedNormBlockRows = 64;

template <typename T>
struct GatedNorm {
  const T* x;       // [rows, cols]
  const T* gate;    // [rows, cols]
  const T* weight;  // [cols]
  T* rstd;          // [rows] = 1 / sqrt(mean(x²) + eps)
  int64_t rows, cols;
  T eps;
  bool isSilu;  // the gate's activation; or else the sigmoid
};

template <typename T>
struct GatedNormGradients {
  const T* dy;  // [rows, cols]
  T* dx;        // [rows, cols]
  T* dGate;     // [rows, cols]
  T* dwBlocks;  // [blocks, cols], or null: not wanted
  T* y;         // [rows, cols], as the forward pass gave it, or null: not wanted; may be dy
};
}  // namespace longscan

// Rows [begin, end) of y [rows, cols] = x * rstd * weight * act(gate).
LONGSCAN_KERNEL(gatedNormForward, (const GatedNorm<float>& call, float* y, int64_t begin, int64_t end),
                (call, y, begin, end))
LONGSCAN_KERNEL(gatedNormForward, (const GatedNorm<double>& call, double* y, int64_t begin, int64_t end),
                (call, y, begin, end))
// Blocks [begin, end) of gatedNormBlockRows rows.
LONGSCAN_KERNEL(gatedNormBackward,
                (const GatedNorm<float>& call, const GatedNormGradients<float>& io, int64_t begin,
                 int64_t end),
                (call, io, begin, end))
LONGSCAN_KERNEL(gatedNormBackward,
                (const GatedNorm<double>& call, const GatedNormGradients<double>& io, int64_t begin,
                 int64_t end),
                (call, io, begin, end))
