#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// The mesa layer on CUDA devices, as plain C: Hkk_t = e^g Hkk_{t-1} + beta k_t k_t^T, Hkv_t = e^g Hkv_{t-1} +
// beta v_t k_t^T, x_t = (Hkk_t + diag(lambda))^-1 q_t, o_t = Hkv_t x_t, and its gradients. Calls only enqueue
// on the stream and allocate nothing. They return 0, or a cudaError_t. All memory is the device's, row-major,
// aligned to 16 bytes. A state is [K + V, K] in f32: the rows of Hkk, which is symmetric, then those of Hkv.
// Rows of solutions have K' = K rounded up to a multiple of 8 numbers, zeros behind K.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// A slice of T tokens. K and V: at most 256.
struct LongscanMesa {
  int64_t B, T;
  int32_t H, K, V;
  int32_t type;           // LongscanElement of q, k, v, o and their gradients
  const void* q;          // [B, T, H, K]
  const void* k;          // [B, T, H, K]
  const void* v;          // [B, T, H, V]
  const float* beta;      // [B, T, H], >= 0
  const float* g;         // [B, T, H], log decay, <= 0
  const float* lambda;    // [H, K], > 0
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
  const float* h0;        // [B, H, K + V, K], or null: zero
  void* workspace;        // as many bytes as said below; what it holds matters to no later call
};

/// First part of the backward pass: what follows from the solutions.
struct LongscanMesaQueryGradient {
  const float* x;  // [B, T, H, K'], of the forward pass
  const void* dO;  // [B, T, H, V]
  void* dq;        // [B, T, H, K]
  float* u;        // [B, T, H, K'], dq unrounded, for the second part
  float* dLambda;  // [B, H, K]: for each batch row
  float* adjoint;  // [B, H, K + V, K]: dL/dh0 through this slice's outputs alone; null: not wanted
};

/// Second part, from the adjoint `dht` of the state after the slice.
struct LongscanMesaKeyValueGradient {
  const float *x, *u;  // as above
  const void* dO;      // [B, T, H, V]
  const float* dht;    // [B, H, K + V, K], or null: zero
  void* dk;            // [B, T, H, K]
  void* dv;            // [B, T, H, V]
  float *dBeta, *dg;   // [B, T, H]
  float* dh0;          // [B, H, K + V, K], or null: not wanted
};

/// For Forward and Summarize, and for both parts of the backward pass; 0 where the call is not supported.
size_t longscanMesaWorkspaceBytes(const struct LongscanMesa* call);
size_t longscanMesaBackwardWorkspaceBytes(const struct LongscanMesa* call);

/// o [B, T, H, V], x [B, T, H, K'], and the state after the slice, or null: not wanted.
int longscanMesaForward(const struct LongscanMesa* call, void* o, float* x, float* state,
                        struct CUstream_st* stream);
/// The state after the slice from zero (whatever `h0`), and its decay, [B, H], 0 where a document starts in
/// it.
int longscanMesaSummarize(const struct LongscanMesa* call, float* state, float* factor,
                          struct CUstream_st* stream);
int longscanMesaQueryGradient(const struct LongscanMesa* call, const struct LongscanMesaQueryGradient* io,
                              struct CUstream_st* stream);
int longscanMesaKeyValueGradient(const struct LongscanMesa* call,
                                 const struct LongscanMesaKeyValueGradient* io, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
