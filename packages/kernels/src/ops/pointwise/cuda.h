#pragma once

#include <stdint.h>

#include "../../cuda/array.h"

// Element by element on CUDA devices, as plain C, over flat arrays; each returns 0 or a cudaError_t.
// Activations are numbered as in pointwise.h.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y = scale * f(x); y is of x's type or, if x is bf16, f32.
int longscanActivation(int activation, float scale, struct LongscanArray x, struct LongscanArray y,
                       int64_t count, struct CUstream_st* stream);
/// dx = scale * f'(x) * dy; dx is of x's type, dy of y's.
int longscanActivationBackward(int activation, float scale, struct LongscanArray x, struct LongscanArray dy,
                               void* dx, int64_t count, struct CUstream_st* stream);
/// y = a * b
int longscanMultiply(struct LongscanArray a, struct LongscanArray b, struct LongscanArray y, int64_t count,
                     struct CUstream_st* stream);
/// y = factor * x + shift
int longscanAffine(float factor, float shift, struct LongscanArray x, struct LongscanArray y, int64_t count,
                   struct CUstream_st* stream);
/// y = x, bf16 rounded to nearest, ties to even
int longscanCast(struct LongscanArray x, struct LongscanArray y, int64_t count, struct CUstream_st* stream);
/// Sets `count` numbers of four bytes, or, if `isHalf`, of two.
int longscanFill(uint32_t bits, int isHalf, void* target, int64_t count, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
