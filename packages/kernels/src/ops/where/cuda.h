#pragma once

#include <stdint.h>

// Rows selected by a condition on CUDA devices, as plain C. Calls only enqueue on the stream; each returns 0,
// or a cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y [numRows, bytes]: a's row where condition [numRows] is not 0, else b's; a null a or b is zeros.
int longscanSelectRows(const int32_t* condition, const void* a, const void* b, void* y, int64_t numRows,
                       int64_t bytes, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
