#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// A time-invariant complex diagonal recurrence on CUDA devices, as plain C: h_t[c, n] = lambda[c, n]
// h_{t-1}[c, n] + u_t[c], y_t[c] = sum_n w[c, n] h_t[c, n], its real part if the signals are real, and its
// gradients. Calls only enqueue on the stream and allocate nothing. They return 0, or a cudaError_t. All
// memory is the device's, row-major, aligned to 16 bytes; parameters, their gradients and states are f32. A
// complex number is (re, im), its gradient dL/dre + i dL/dim; a complex row of C is [2, C]: real parts first.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// A slice of T tokens. N: at most 256.
struct LongscanLtiScan {
  int64_t B, T, C;
  int32_t N;
  int32_t complex;         // whether u and y are
  int32_t type;            // LongscanElement of u, y and their gradients
  const void* u;           // [B, T, C], complex [B, T, 2C]
  const float* logLambda;  // [C, N, 2]
  const float* w;          // [C, N, 2]
  const int32_t* resets;   // [B, T], 1 where a document starts (the state is forgotten first), or null
  void* workspace;         // longscanLtiScanWorkspaceBytes(); what it holds matters to no later call
};

struct LongscanLtiScanForward {
  const float* h0;  // [B, C, N, 2], or null: zero
  void* y;          // like u
  float* states;    // longscanLtiScanStatesBytes(), for the backward pass
  float* ht;        // [B, C, N, 2]
};

struct LongscanLtiScanBackward {
  const void* dy;       // like u
  const float* states;  // of the forward pass
  const float* dht;     // [B, C, N, 2], or null: zero
  void* du;             // like u
  float* dLogLambda;    // [C, N, 2]
  float* dw;            // [C, N, 2]
  float* dh0;           // [B, C, N, 2]
};

/// For all calls of this shape; 0 where it is not supported.
size_t longscanLtiScanWorkspaceBytes(const struct LongscanLtiScan* call);
size_t longscanLtiScanStatesBytes(const struct LongscanLtiScan* call);

int longscanLtiScanForward(const struct LongscanLtiScan* call, const struct LongscanLtiScanForward* io,
                           struct CUstream_st* stream);
int longscanLtiScanBackward(const struct LongscanLtiScan* call, const struct LongscanLtiScanBackward* io,
                            struct CUstream_st* stream);
/// What the slice does to a state, factor h + state where no document starts in it; both [B, C, N, 2].
int longscanLtiScanSummarize(const struct LongscanLtiScan* call, float* state, float* factor,
                             struct CUstream_st* stream);
/// The gradient of the incoming state through the slice's own outputs, [B, C, N, 2].
int longscanLtiScanAdjoint(const struct LongscanLtiScan* call, const void* dy, float* adjoint,
                           struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
