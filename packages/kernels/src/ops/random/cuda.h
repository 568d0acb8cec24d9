#pragma once

#include <stdint.h>

// Random numbers on CUDA devices, as plain C; returns 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y [count], f32 in device memory: deviation times normal numbers of the key (README.md).
int longscanFillNormal(uint32_t key0, uint32_t key1, double deviation, float* y, int64_t count,
                       struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
