#pragma once

#include <stdint.h>

// Two axes swapped on CUDA devices, as plain C. Calls only enqueue on the stream; each returns 0, or a
// cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y [inner, outer, bytes] from x [outer, inner, bytes]: y[i, o] = x[o, i].
int longscanSwapAxes(const void* x, void* y, int64_t outer, int64_t inner, int64_t bytes,
                     struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
