#pragma once

#include <stdint.h>

#include "../../cuda/array.h"

// The normaliser's column on CUDA devices, as plain C; each returns 0 or a cudaError_t. Wide rows have `wide`
// numbers of which the first `cols` are data, the next one is the normaliser's, and the rest are 0.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

struct LongscanNormalizer {
  int64_t rows, cols, wide;
};

/// wide [rows, wide] = v [rows, cols], then `last`, then zeros.
int longscanWidenRows(const struct LongscanNormalizer* call, struct LongscanArray v, float last,
                      struct LongscanArray wide, struct CUstream_st* stream);
/// narrow [rows, cols] = the first columns of wide [rows, wide].
int longscanNarrowRows(const struct LongscanNormalizer* call, struct LongscanArray wide,
                       struct LongscanArray narrow, struct CUstream_st* stream);
/// y [rows, cols] = o / z, z the normaliser of o [rows, wide], or ±eps where it is nearer to zero.
int longscanNormalizeForward(const struct LongscanNormalizer* call, struct LongscanArray o, float eps,
                             struct LongscanArray y, struct CUstream_st* stream);
/// The gradient of o [rows, wide]; that of z is 0 where eps stands for it.
int longscanNormalizeBackward(const struct LongscanNormalizer* call, struct LongscanArray dy,
                              struct LongscanArray o, float eps, struct LongscanArray outputGradient,
                              struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
