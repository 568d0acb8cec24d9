#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// rounded = bias, f32 to bf16 [count], in device memory. Returns 0 or a cudaError_t.
int longscanRoundBias(const float* bias, void* rounded, int64_t count, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
