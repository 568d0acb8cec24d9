#pragma once

#include <stdint.h>

// The loss's own arithmetic on CUDA devices, as plain C; the products around it are cuBLASLt's. Calls only
// enqueue on the stream; each returns 0 or a cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// Rows of logits [rows, vocab]: rowLoss = log Σ exp(logits) - logits[label], 0 where the label is -1, NaN
/// where it is not in the vocabulary.
struct LongscanSoftmaxLoss {
  int64_t rows, vocab;
  /// 1: logits are overwritten by scale * (softmax - onehot(label)), 0 where the label is -1.
  int32_t gradient;
  /// 1: by numbers of bf16, which begin where the row does, so that rows are 2 vocab of them apart.
  int32_t gradientIsBf16;
  const double* scale;  // [1]
  float* logits;
  const int32_t* labels;  // [rows]
  double* rowLoss;        // [rows]
};

int longscanSoftmaxLoss(const struct LongscanSoftmaxLoss* call, struct CUstream_st* stream);

/// loss [1] = scale [1] * Σ rowLoss [count], always added in the same order.
int longscanSumLoss(const double* rowLoss, int64_t count, const double* scale, float* loss,
                    struct CUstream_st* stream);

/// target = seed * unit, or target += seed * unit, for a seed [1] of f32; each of the two f32 or bf16. Where
/// target is unit and the seed 1, nothing is read or written.
struct LongscanScaleBySeed {
  int64_t count;
  int32_t unitIsBf16, targetIsBf16, accumulate;
  const float* seed;
  const void* unit;
  void* target;
};

int longscanScaleBySeed(const struct LongscanScaleBySeed* call, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
