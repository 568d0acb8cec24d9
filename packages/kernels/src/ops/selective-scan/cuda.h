#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// Mamba's scan on CUDA devices, as plain C: h_t[d, n] = exp(delta_t[d] A[d, n]) h_{t-1}[d, n] + delta_t[d]
// B_t[n] x_t[d], y_t[d] = sum_n C_t[n] h_t[d, n], and its gradients. Calls only enqueue on the stream and
// allocate nothing. They return 0, or a cudaError_t. All memory is the device's, row-major, aligned to 16
// bytes; states are f32.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// A slice of T tokens. D: even; N: 8 or 16.
struct LongscanSelectiveScan {
  int64_t B, T, D;
  int32_t N;
  int32_t type;           // LongscanElement of x, delta, inB, outC, y and their gradients
  const void* x;          // [B, T, D]
  const void* delta;      // [B, T, D], > 0
  const float* A;         // [D, N], < 0
  const void* inB;        // [B, T, N]
  const void* outC;       // [B, T, N]
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
  void* workspace;        // longscanSelectiveScanWorkspaceBytes(); what it holds matters to no later call
};

struct LongscanSelectiveScanForward {
  const float* h0;     // [B, D, N], or null: zero
  void* y;             // [B, T, D]
  float* checkpoints;  // [B, ceil(T / 64), D, N]: the state before every 64th token, for the backward pass
  float* ht;           // [B, D, N]
};

struct LongscanSelectiveScanBackward {
  const void* dy;            // [B, T, D]
  const float* checkpoints;  // of the forward pass
  const float* dht;          // [B, D, N], or null: zero
  void* dx;                  // [B, T, D]
  void* dDelta;              // [B, T, D]
  float* dA;                 // [D, N]
  void* dB;                  // [B, T, N]
  void* dC;                  // [B, T, N]
  float* dh0;                // [B, D, N]
};

/// For all calls of this shape; 0 where it is not supported.
size_t longscanSelectiveScanWorkspaceBytes(const struct LongscanSelectiveScan* call);

/// Shared memory that a block of the backward pass takes: not every device has as much.
size_t longscanSelectiveScanBackwardSharedBytes(const struct LongscanSelectiveScan* call);

int longscanSelectiveScanForward(const struct LongscanSelectiveScan* call,
                                 const struct LongscanSelectiveScanForward* io, struct CUstream_st* stream);
int longscanSelectiveScanBackward(const struct LongscanSelectiveScan* call,
                                  const struct LongscanSelectiveScanBackward* io, struct CUstream_st* stream);
/// What the slice does to a state, exp(A sumDelta) h + state where no document starts in it: state [B, D, N],
/// sumDelta [B, D] (null: not wanted).
int longscanSelectiveScanSummarize(const struct LongscanSelectiveScan* call, float* state, float* sumDelta,
                                   struct CUstream_st* stream);
/// The gradient of the incoming state through the slice's own outputs, [B, D, N].
int longscanSelectiveScanAdjoint(const struct LongscanSelectiveScan* call, const void* dy, float* adjoint,
                                 struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
