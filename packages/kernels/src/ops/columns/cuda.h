#pragma once

#include <stdint.h>

// Copies of columns on CUDA devices, as plain C. Calls only enqueue on the stream; each returns 0, or a
// cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// Rows of `bytes` bytes: `source` and `target` point at the first one's first column, and rows lie
/// `sourceStep` and `targetStep` bytes apart. `source` null: zeros.
int longscanCopyColumns(const void* source, int64_t sourceStep, void* target, int64_t targetStep,
                        int64_t numRows, int64_t bytes, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
