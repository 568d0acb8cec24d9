#pragma once

#include <stdint.h>

// SwiGLU in the products before and behind it, on Hopper, as plain C. All arrays are of bf16 in device
// memory, aligned to 16 bytes; sums are f32. Calls only enqueue on the stream; each returns 0 or a
// cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// T tokens; D and F are multiples of 8.
struct LongscanLinearSwiglu {
  int64_t T, D, F;
  void* pair;     // [T, 2 F]: gate and up side by side; forward, null: nobody wants it
  void* product;  // [T, F]: silu(gate) up
};

/// pair = [x gateᵀ, x upᵀ] and product; x [T, D], gate and up [F, D].
int longscanLinearSwigluForward(const struct LongscanLinearSwiglu* call, const void* x, const void* gate,
                                const void* up, struct CUstream_st* stream);
/// The gradients of gate and up, side by side in dpair [T, 2 F], which may be pair, from that of the product,
/// dy down; dy [T, D], down [D, F]. And the product again, unless that is null.
int longscanLinearSwigluBackward(const struct LongscanLinearSwiglu* call, const void* dy, const void* down,
                                 void* dpair, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
