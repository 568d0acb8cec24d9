#pragma once

#include <stdint.h>

// AdamW on CUDA devices, as plain C; each function returns 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// One step's constants as f32; the kernel reads how much the gradient is scaled from `clip`.
struct LongscanAdamw {
  float beta1, beta2, rest1, rest2;  // rest: 1 - beta
  float rate;                        // learning rate / (1 - beta1^step)
  float correction2;                 // 1 / (1 - beta2^step)
  float eps;
  float decay;  // learning rate * weight decay
};

/// Where the numbers are that a step changes.
struct LongscanAdamwParameter {
  float* whole;          // or null, and then
  uint16_t *high, *low;  // in halves, as of longscanHalvesSplit
};

/// The moments, f32 or bf16, and by which random numbers bf16 ones are rounded: those of a key, the step's
/// number and an element's number in the model.
struct LongscanAdamwMoments {
  void *m, *v;
  int32_t areBf16;
  uint32_t key[2];
  uint32_t step;
  int64_t firstElement;
};

/// `count` numbers each of f32 parameter, m and v, in place, from f32 gradients. clip: f64 [3], a factor, a
/// norm, and 1 if anything is to be changed. squares: null, or f64 [count / 1024 rounded up] for the sum of
/// the gradients' squares in parts; what of a gradient is not finite is then not applied.
int longscanAdamw(const struct LongscanAdamw* step, const struct LongscanAdamwParameter* parameter,
                  const struct LongscanAdamwMoments* moments, const float* gradient, const double* clip,
                  double* squares, int64_t count, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
