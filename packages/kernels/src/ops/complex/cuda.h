#pragma once

#include <stdint.h>

#include "../../cuda/array.h"

// Functions of complex parameters on CUDA devices, as plain C, over pairs (re, im), computed in f64; each
// returns 0 or a cudaError_t. Functions are numbered as in holomorphic.h.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// y = f(z)
int longscanComplexFunction(int function, struct LongscanArray z, struct LongscanArray y, int64_t numPairs,
                            struct CUstream_st* stream);
/// dz = conj(f'(z)) dy
int longscanComplexFunctionBackward(int function, struct LongscanArray z, struct LongscanArray dy,
                                    struct LongscanArray dz, int64_t numPairs, struct CUstream_st* stream);
/// y = a b, or conj(a) b
int longscanComplexMultiply(int conjugate, struct LongscanArray a, struct LongscanArray b,
                            struct LongscanArray y, int64_t numPairs, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
