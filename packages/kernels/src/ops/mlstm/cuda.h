#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// The matrix LSTM on CUDA devices, as plain C: C_t = e^f C_{t-1} + e^i v_t k_t^T, n_t = e^f n_{t-1} + e^i
// k_t, h_t = scale C_t q_t / max(|scale n_t . q_t|, 1), and its gradients. Calls only enqueue on the stream
// and allocate nothing. They return 0, or a cudaError_t. All memory is the device's, row-major, aligned to 16
// bytes. A state is [V + 1, K + 1] in f32: the rows of C, then n, each scaled by exp(-m) and followed by its
// m.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// A slice of T tokens. K and V: at most 256.
struct LongscanMlstm {
  int64_t B, T;
  int32_t H, K, V;
  int32_t type;            // LongscanElement of q, k, v, h and their gradients
  float scale;             // of q
  const void* q;           // [B, T, H, K]
  const void* k;           // [B, T, H, K]
  const void* v;           // [B, T, H, V]
  const float* logInput;   // [B, T, H], unbounded
  const float* logForget;  // [B, T, H], <= 0
  const int32_t* resets;   // [B, T], 1 where a document starts (the state is forgotten first), or null
  const float* h0;         // [B, H, V + 1, K + 1], or null: empty
  void* workspace;         // as many bytes as said below; what it holds matters to no later call
};

/// What the backward pass keeps of the forward one.
struct LongscanMlstmTokens {
  void* h;            // [B, T, H, V], the output
  float* normalizer;  // [B, T, H], scale n . q at the scale exp(-m)
  float* m;           // [B, T, H], the running maximum
};

struct LongscanMlstmGradients {
  const void* dH;    // [B, T, H, V]
  const float* dht;  // [B, H, V + 1, K + 1], or null: zero
  void* dq;          // [B, T, H, K]
  void* dk;          // [B, T, H, K]
  void* dv;          // [B, T, H, V]
  float* dInput;     // [B, T, H]
  float* dForget;    // [B, T, H]
  float* dh0;        // [B, H, V + 1, K + 1], its last column 0, or null: not wanted
};

/// For Forward and Summarize, and for Backward and Adjoint; 0 where the call is not supported.
size_t longscanMlstmWorkspaceBytes(const struct LongscanMlstm* call);
size_t longscanMlstmBackwardWorkspaceBytes(const struct LongscanMlstm* call);

/// `state`: after the slice; null: not wanted.
int longscanMlstmForward(const struct LongscanMlstm* call, const struct LongscanMlstmTokens* tokens,
                         float* state, struct CUstream_st* stream);
int longscanMlstmBackward(const struct LongscanMlstm* call, const struct LongscanMlstmTokens* tokens,
                          const struct LongscanMlstmGradients* io, struct CUstream_st* stream);
/// The state after the slice from an empty one (whatever `h0`), and the sum of its log forget gates, [B, H].
int longscanMlstmSummarize(const struct LongscanMlstm* call, float* state, float* factor,
                           struct CUstream_st* stream);
/// The gradient of the incoming state through the slice's own outputs, and exp(F + m_in - m_out), [B, H], by
/// which an adjoint of the state after the slice is carried to the one before it.
int longscanMlstmAdjoint(const struct LongscanMlstm* call, const struct LongscanMlstmTokens* tokens,
                         const void* dH, float* adjoint, float* factor, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
