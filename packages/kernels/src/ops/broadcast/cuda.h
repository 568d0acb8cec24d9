#pragma once

#include <stdint.h>

#include "../../cuda/array.h"

// Broadcasts and their sums on CUDA devices, as plain C, f32 or bf16 throughout where arrays do not say it.
// Calls only enqueue on the stream; each returns 0, or a cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// a [outer, middle, inner] meets b [middle].
struct LongscanBroadcast {
  int64_t outer, middle, inner;
};

/// y = a * b
int longscanBroadcastMultiply(const struct LongscanBroadcast* call, struct LongscanArray a,
                              struct LongscanArray b, struct LongscanArray y, struct CUstream_st* stream);
/// y = a + factor * b
int longscanBroadcastAdd(const struct LongscanBroadcast* call, float factor, struct LongscanArray a,
                         struct LongscanArray b, struct LongscanArray y, struct CUstream_st* stream);
/// partial [ceil(outer / 64), middle]: dy * a (dy alone if a's data is null) summed over each block of 64
/// outer rows and over inner.
int longscanBroadcastReduce(const struct LongscanBroadcast* call, struct LongscanArray dy,
                            struct LongscanArray a, struct LongscanArray partial, struct CUstream_st* stream);
/// y [rows, times, inner] = x [rows, inner], `times` times over; elements of `bytes` bytes.
int longscanRepeatRows(const void* x, void* y, int64_t rows, int64_t times, int64_t inner, int64_t bytes,
                       struct CUstream_st* stream);
/// dx [rows, inner]: dy [rows, times, inner] summed over `times`.
int longscanSumRepeats(int isBf16, const void* dy, void* dx, int64_t rows, int64_t times, int64_t inner,
                       struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
