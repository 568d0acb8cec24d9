#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

struct LongscanProjectedSwiglu {
  const void *x, *gate, *up;
  void *pair, *dpair, *product;
  int32_t T, D, F;
  int32_t blocks, strip;
};

int longscanProjectedSwigluForward(const struct LongscanProjectedSwiglu* call, struct CUstream_st* stream);
int longscanProjectedSwigluBackward(const struct LongscanProjectedSwiglu* call, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
