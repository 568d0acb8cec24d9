#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/array.h"

// Rotary positions on CUDA devices, as plain C; functions that launch return 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// Pairs (x[i], x[i + K/2]) turned by the angle sign * floor(position / step) * theta^(-2i/K), which is exact
/// to f64. x and y are [rows, H, K], of one type.
struct LongscanRotary {
  int64_t rows, H, K;
  double theta, sign;
  int64_t step;
  const int32_t* positions; /* [rows] */
};

size_t longscanRotaryWorkspaceBytes(const struct LongscanRotary* call);
int longscanRotary(const struct LongscanRotary* call, struct LongscanArray x, struct LongscanArray y,
                   void* workspace, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
