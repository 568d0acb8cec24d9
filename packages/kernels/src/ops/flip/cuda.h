#pragma once

#include <stdint.h>

// The order along an axis turned round on CUDA devices, as plain C. Calls only enqueue on the stream; each
// returns 0, or a cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y [outer, length, bytes]: y[o, i] = x[o, length - 1 - i].
int longscanFlip(const void* x, void* y, int64_t outer, int64_t length, int64_t bytes,
                 struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
