#pragma once

#include <stdint.h>

// Document starts of whole rows on CUDA devices, as plain C. Calls only enqueue on the stream; each returns
// 0, or a cudaError_t. All memory is the device's, row-major, aligned to 16 bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// bits [B] = 1 where resets [B, T] has anything but 0, else 0.
int longscanResetBits(const int32_t* resets, int64_t B, int64_t T, float* bits, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
