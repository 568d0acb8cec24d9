#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// h_t = exp(g_t) h_{t-1} + x_t per channel on CUDA devices, as plain C, and its gradients. Calls only enqueue
// on the stream and allocate nothing. They return 0, or a cudaError_t. All memory is the device's, row-major,
// aligned to 16 bytes; states are f32.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// A slice of T tokens.
struct LongscanVectorScan {
  int64_t B, T, C;
  int32_t type;           // LongscanElement of x, h and their gradients
  int32_t gateType;       // that of g and dg: `type` or f32
  const void* g;          // [B, T, C], log decay <= 0
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
  void* workspace;        // longscanVectorScanWorkspaceBytes()
};

struct LongscanVectorScanForward {
  const void* x;    // [B, T, C]
  const float* h0;  // [B, C], or null: zero
  void* h;          // [B, T, C]
  float* ht;        // [B, C]
};

struct LongscanVectorScanBackward {
  const void* dh;    // [B, T, C]
  const void* h;     // [B, T, C], of the forward pass
  const float* h0;   // as it had it
  const float* dht;  // [B, C], or null: zero
  void* dx;          // [B, T, C]
  void* dg;          // [B, T, C]
  float* dh0;        // [B, C]
};

/// 0 where the call is not supported.
size_t longscanVectorScanWorkspaceBytes(const struct LongscanVectorScan* call);

int longscanVectorScanForward(const struct LongscanVectorScan* call,
                              const struct LongscanVectorScanForward* io, struct CUstream_st* stream);
int longscanVectorScanBackward(const struct LongscanVectorScan* call,
                               const struct LongscanVectorScanBackward* io, struct CUstream_st* stream);
/// What the slice does to a state, factor * h + state where no document starts in it: both [B, C].
int longscanVectorScanSummarize(const struct LongscanVectorScan* call, const void* x, float* state,
                                float* factor, struct CUstream_st* stream);
/// The gradient of the incoming state through the slice's own outputs, [B, C].
int longscanVectorScanAdjoint(const struct LongscanVectorScan* call, const void* dh, float* adjoint,
                              struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
