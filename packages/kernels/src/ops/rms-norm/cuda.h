#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// RMS norm and l2 norm of rows on CUDA devices, alone and after a residual sum, as plain C. Calls only
// enqueue on the stream and allocate nothing. They return 0, or a cudaError_t. All memory is the device's,
// row-major, aligned to 16 bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// Rows of 1 to 16384 columns.
struct LongscanRmsNorm {
  int64_t rows, cols;
  int32_t type;         // LongscanElement of x, branch, stream, y and their gradients
  float eps;            // of the forward pass
  const float* weight;  // [cols]; null: no weights, and the sum of a row's squares in place of their mean
};

struct LongscanRmsNormForward {
  const void* x;       // [rows, cols]
  const void* branch;  // [rows, cols] or null: none is added
  void* stream;        // [rows, cols], x + branch, which is normed; null with branch
  void* y;             // [rows, cols]
  float* rstd;         // [rows]
};

struct LongscanRmsNormBackward {
  const void* dy;       // [rows, cols]
  const void* x;        // [rows, cols], what was normed
  const float* rstd;    // [rows]
  const void* dStream;  // [rows, cols], added to the norm's gradient, or null
  void* dx;             // [rows, cols]
  void* y;              // [rows, cols], the norm's output once more, or null: not wanted; may be dy
  float* dWeight;       // [shares, cols], whose sum is the weight's gradient, or null: not wanted
  int64_t shares;       // 1 to 65535: so many parts of equal size the rows are cut into
};

int longscanRmsNormForward(const struct LongscanRmsNorm* call, const struct LongscanRmsNormForward* io,
                           struct CUstream_st* stream);
int longscanRmsNormBackward(const struct LongscanRmsNorm* call, const struct LongscanRmsNormBackward* io,
                            struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
