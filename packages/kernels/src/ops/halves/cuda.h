#pragma once

#include <stdint.h>

// f32 numbers as two halves of 16 bits on CUDA devices, as plain C. Calls only enqueue on the stream; each
// returns 0, or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// `count` numbers each.
int longscanHalvesJoin(const uint16_t* high, const uint16_t* low, float* values, int64_t count,
                       struct CUstream_st* stream);
int longscanHalvesSplit(const float* values, uint16_t* high, uint16_t* low, int64_t count,
                        struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
