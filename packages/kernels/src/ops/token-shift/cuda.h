#pragma once

#include <stdint.h>

#include "../../cuda/types.h"

// The token before each, on CUDA devices, as plain C: y[t] = x[t - 1]. Calls only enqueue on the stream and
// allocate nothing. They return 0, or a cudaError_t. All memory is the device's, row-major, aligned to 16
// bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

struct LongscanTokenShift {
  int64_t B, T, D;
  int32_t type;           // LongscanElement
  const int32_t* resets;  // [B, T], 1 where a document starts, or null
};

/// y [B, T, D] from x [B, T, D] and halo [B, 1, D], the token before x (null: zeros). Zeros where a document
/// starts.
int longscanTokenShiftForward(const struct LongscanTokenShift* call, const void* x, const void* halo, void* y,
                              struct CUstream_st* stream);
/// dx [B, T, D] and, unless null, dHalo [B, 1, D] from dy [B, T, D].
int longscanTokenShiftBackward(const struct LongscanTokenShift* call, const void* dy, void* dx, void* dHalo,
                               struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
