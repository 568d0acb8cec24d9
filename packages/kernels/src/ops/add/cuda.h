#pragma once

#include <stdint.h>

// Sums on CUDA devices, as plain C, over flat arrays of f32 or bf16 in device memory; each returns 0 or a
// cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y = a + b
int longscanAdd(int isBf16, const void* a, const void* b, void* y, int64_t count, struct CUstream_st* stream);
/// y += factor * x
int longscanAxpy(float factor, int xIsBf16, const void* x, int yIsBf16, void* y, int64_t count,
                 struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
