#pragma once

#include <stddef.h>
#include <stdint.h>

// Gradient norms on CUDA devices, as plain C; functions that launch return 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

size_t longscanSumOfSquaresWorkspaceBytes(int64_t count);
/// sum [1] = the sum of squares of f32 x [count], in f64 in an order that depends on
/// `count` and on whether x begins at 16 bytes.
int longscanSumOfSquares(const float* x, int64_t count, void* workspace, double* sum,
                         struct CUstream_st* stream);
size_t longscanSumOfPartsWorkspaceBytes(int64_t count);
/// sum [1] = the sum of parts [count], in an order that depends on `count`.
int longscanSumOfParts(const double* parts, int64_t count, void* workspace, double* sum,
                       struct CUstream_st* stream);
/// clip [3] = factor min(1, maxNorm / (norm + 1e-6)), norm = the root of all of sums [count], and 1; where
/// the norm is not finite, or previous [3] (null: none) has no 1 there, factor and 1 are 0.
int longscanClipFactor(const double* sums, int64_t count, double maxNorm, const double* previous,
                       double* clip, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
