#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// Layer norm and group norm on CUDA devices, as plain C. Calls only enqueue on the stream and allocate
// nothing. They return 0, or a cudaError_t. All memory is the device's, row-major, aligned to 16 bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// Rows of 1 to 4096 columns; those of a group have its weight and bias.
struct LongscanLayerNorm {
  int64_t positions, groups, cols;
  int32_t type;         // LongscanElement of x, y and their gradients
  float eps;            // of the forward pass
  const void* x;        // [positions, groups, cols]
  const float* weight;  // [groups, cols]
  const float* bias;    // [groups, cols] or null: zero
};

struct LongscanLayerNormBackward {
  const void* dy;      // [positions, groups, cols]
  const float* stats;  // [positions, groups, 2]
  void* dx;            // [positions, groups, cols]
  float* dWeight;      // [shares, groups, cols], whose sum is the weight's gradient, or null: not wanted
  float* dBias;        // the same for the bias
  int64_t shares;      // 1 to 65535: so many parts of equal size the positions are cut into
};

/// y [positions, groups, cols]; stats [positions, groups, 2]: mean, and 1 / sqrt(variance + eps).
int longscanLayerNormForward(const struct LongscanLayerNorm* call, void* y, float* stats,
                             struct CUstream_st* stream);
int longscanLayerNormBackward(const struct LongscanLayerNorm* call,
                              const struct LongscanLayerNormBackward* io, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
