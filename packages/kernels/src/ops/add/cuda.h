#pragma once

#include <stdint.h>

#include "../../cuda/array.h"

// Sums on CUDA devices, as plain C, over flat arrays; each returns 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y = a + b
int longscanAdd(struct LongscanArray a, struct LongscanArray b, struct LongscanArray y, int64_t count,
                struct CUstream_st* stream);
/// y += factor * x
int longscanAxpy(float factor, struct LongscanArray x, struct LongscanArray y, int64_t count,
                 struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
