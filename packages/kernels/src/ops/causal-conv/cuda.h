#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// The short convolution on CUDA devices, as plain C: y[t] = act(bias + sum_j weight[W - 1 - j] x[t - j]), act
// SiLU or none, and its gradients; on request heads of y are scaled to length one as ops/rms-norm's l2 norm
// does. Calls only enqueue on the stream and allocate nothing. They return 0, or a
// cudaError_t. All memory is the device's, row-major, aligned to 16 bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// A slice of T tokens. A tap that would reach over its token's document start is left out.
struct LongscanCausalConv {
  int64_t B, T, D;
  int32_t W;           // 1 to 256 taps; fast up to 8
  int32_t type;        // LongscanElement of x, halo, y and their gradients
  int32_t weightType;  // that of weight, bias and their gradients: any
  int32_t silu;        // 1: act is SiLU
  int32_t headSize;  // channels that are scaled together, a multiple of 4 up to 256, with up to 8 taps; or 0
  float eps;         // added to the sum of a head's squares
  const void* x;     // [B, T, D]
  const void* halo;  // [B, W - 1, D], the tokens before x, or null: zeros
  const void* weight;     // [D, W], the last tap that of the token itself
  const void* bias;       // [D] or null
  const int32_t* resets;  // [B, T], 1 where a document starts, or null
  float* rstd;            // [B, T, D / headSize], by what heads are scaled: of the forward pass; null with 0
  void* workspace;        // longscanCausalConvWorkspaceBytes(); what it holds matters to no later call
};

struct LongscanCausalConvBackward {
  const void* dy;  // [B, T, D]
  void* dx;        // [B, T, D]
  void* dHalo;     // [B, W - 1, D], or null: not wanted
  void* dWeight;   // [D, W]
  void* dBias;     // [D], or null: not wanted
};

/// For either pass; 0 where the call is not supported.
size_t longscanCausalConvWorkspaceBytes(const struct LongscanCausalConv* call);

/// y [B, T, D].
int longscanCausalConvForward(const struct LongscanCausalConv* call, void* y, struct CUstream_st* stream);
int longscanCausalConvBackward(const struct LongscanCausalConv* call,
                               const struct LongscanCausalConvBackward* io, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
