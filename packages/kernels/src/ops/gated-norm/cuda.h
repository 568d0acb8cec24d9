#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// RMS norm of rows times an activation of a gate, on CUDA devices, as plain C. Calls only enqueue on the
// stream and allocate nothing. They return 0, or a cudaError_t. All memory is the device's, row-major,
// aligned to 16 bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// Rows of 1 to 16384 columns.
struct LongscanGatedNorm {
  int64_t rows, cols;
  int32_t type;         // LongscanElement of x, gate, y and their gradients
  int32_t isSilu;       // 1: the gate's activation is SiLU, 0: the sigmoid
  float eps;            // of the forward pass
  const void* x;        // [rows, cols]
  const void* gate;     // [rows, cols]
  const float* weight;  // [cols]
};

struct LongscanGatedNormBackward {
  const void* dy;     // [rows, cols]
  const float* rstd;  // [rows]
  void* dx;           // [rows, cols]
  void* dGate;        // [rows, cols]
  void* y;            // [rows, cols], the output once more, or null: not wanted; may be dy
  float* dWeight;     // [shares, cols], whose sum is the weight's gradient, or null: not wanted
  int64_t shares;     // 1 to 65535: so many parts of equal size the rows are cut into
};

/// y [rows, cols], rstd [rows]
int longscanGatedNormForward(const struct LongscanGatedNorm* call, void* y, float* rstd,
                             struct CUstream_st* stream);
int longscanGatedNormBackward(const struct LongscanGatedNorm* call,
                              const struct LongscanGatedNormBackward* io, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
