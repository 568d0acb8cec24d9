#pragma once

#include <stdint.h>

// Element by element on CUDA devices, as plain C, over flat arrays of f32 or bf16 in device memory; each
// returns 0 or a cudaError_t. Activations are numbered as in pointwise.h.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y = scale * f(x)
int longscanActivation(int activation, float scale, int isBf16, const void* x, void* y, int64_t count,
                       struct CUstream_st* stream);
/// dx = scale * f'(x) * dy
int longscanActivationBackward(int activation, float scale, int isBf16, const void* x, const void* dy,
                               void* dx, int64_t count, struct CUstream_st* stream);
/// y = a * b
int longscanMultiply(int isBf16, const void* a, const void* b, void* y, int64_t count,
                     struct CUstream_st* stream);
/// y = factor * x + shift
int longscanAffine(float factor, float shift, int isBf16, const void* x, void* y, int64_t count,
                   struct CUstream_st* stream);
/// Sets `count` numbers of four bytes.
int longscanFill(uint32_t bits, void* target, int64_t count, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
