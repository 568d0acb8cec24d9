#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// The scalar LSTM with exponential gates on CUDA devices, as plain C: what slstm.h says, and backpropagation
// through time. Calls only enqueue on the stream and allocate nothing. They return 0, or a cudaError_t. All
// memory is the device's, row-major, aligned to 16 bytes. Gates stand in the order input, forget, cell,
// output. A state is [4, N] in f32: c and n scaled by exp(-m), m, h.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// A slice of T tokens. N: at most 256.
struct LongscanSlstm {
  int64_t B, T;
  int32_t H, N;
  int32_t type;            // LongscanElement of gates, h and their gradients
  const void* gates;       // [B, T, H, 4, N], what does not come from h
  const float* recurrent;  // [H, N, 4, N], from unit to gate and unit
  const int32_t* resets;   // [B, T], 1 where a document starts (the state is forgotten first), or null
  const float* h0;         // [B, H, 4, N], or null: no token yet
};

struct LongscanSlstmForward {
  void* h;       // [B, T, H, N]
  float* sums;   // [B, T, H, 4, N], the gates before their nonlinearities
  float* cells;  // [B, T, H, 3, N], c, n and m
  float* ht;     // [B, H, 4, N]
};

struct LongscanSlstmBackward {
  const float *sums, *cells;  // of the forward pass
  const void* dH;             // [B, T, H, N]
  const float* dht;           // [B, H, 4, N], or null: zero
  void* dGates;               // [B, T, H, 4, N]
  float* dRecurrent;          // [B, H, N, 4, N]: for each batch row
  float* dh0;                 // [B, H, 4, N], or null: not wanted
  void* workspace;            // longscanSlstmBackwardWorkspaceBytes()
};

/// 0 where the call is not supported.
size_t longscanSlstmBackwardWorkspaceBytes(const struct LongscanSlstm* call);

int longscanSlstmForward(const struct LongscanSlstm* call, const struct LongscanSlstmForward* io,
                         struct CUstream_st* stream);
int longscanSlstmBackward(const struct LongscanSlstm* call, const struct LongscanSlstmBackward* io,
                          struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
