#pragma once

#include <stdint.h>

#include "../../cuda/array.h"

// Quadratic features on CUDA devices, as plain C; each returns 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// The features of feature_map.h; rows of `columns` numbers, of which those beyond the features are 0.
struct LongscanFeatureMap {
  int64_t rows, K, numFeatures, columns;
  int32_t hasLinear;
  float linear, square, cross;
};

/// y [rows, columns] of x [rows, K]
int longscanFeatureMap(const struct LongscanFeatureMap* call, struct LongscanArray x, struct LongscanArray y,
                       struct CUstream_st* stream);
/// dx [rows, K] of dy [rows, columns]
int longscanFeatureMapBackward(const struct LongscanFeatureMap* call, struct LongscanArray x,
                               struct LongscanArray dy, struct LongscanArray dx, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
