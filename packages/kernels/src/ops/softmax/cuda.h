#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// Softmax of rows on CUDA devices, as plain C. Calls only enqueue on the stream; each returns 0, or a
// cudaError_t. All memory is the device's, row-major, aligned to 16 bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

struct LongscanSoftmax {
  int64_t rows, cols;  // cols up to 16384
  int32_t type;        // LongscanElement of x, y and their gradients
};

/// x, y [rows, cols]: y = exp(x - max) / sum exp(x - max)
int longscanSoftmaxForward(const struct LongscanSoftmax* call, const void* x, void* y,
                           struct CUstream_st* stream);

/// The same over the `count` largest of x [rows, cols], 0 for the others, in y and selected [rows, stride]:
/// selected is 1 for the former. Both are 1 in the last stride - cols columns. Of equal elements the first is
/// taken. cols up to 1024.
struct LongscanSoftmaxOfLargest {
  int64_t count, stride;
  const void* x;
  void* y;
  int32_t* selected;
};
int longscanSoftmaxOfLargest(const struct LongscanSoftmax* call, const struct LongscanSoftmaxOfLargest* io,
                             struct CUstream_st* stream);

/// dx [rows, cols] = y (dy - sum y dy), over the first cols columns of dy and y [rows, stride]; cols up to
/// 1024 unless the stride is cols.
int longscanSoftmaxBackward(const struct LongscanSoftmax* call, int64_t stride, const void* dy, const void* y,
                            void* dx, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
