#pragma once

#include <stddef.h>
#include <stdint.h>

// The gated linear recurrence on CUDA devices, as plain C: S_t = a_t S_{t-1} + k_t v_t^T, o_t = scale * S_t^T
// q_t, and its gradients. Calls only enqueue on the stream and allocate nothing. They return 0, or a
// cudaError_t. All memory is the device's, row-major, aligned to 16 bytes; states are f32, transposed, [B, H,
// V, K].

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

enum LongscanDecay {
  longscanDecayIdentity = 0,     // g null
  longscanDecayFixedScalar = 1,  // g [H]
  longscanDecayScalar = 2,       // g [B, T, H]
  longscanDecayDiagonal = 3,     // g [B, T, H, K]
};

/// One slice of T tokens. K and V: multiples of 8, at most 256.
struct LongscanGatedLinear {
  int64_t B, T;
  int32_t H, K, V;
  int32_t decay;          // LongscanDecay
  float scale;            // not 0
  const void* q;          // bf16 [B, T, H, K]
  const void* k;          // bf16 [B, T, H, K]
  const void* v;          // bf16 [B, T, H, V]
  const float* g;         // log decay, finite, <= 0
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

struct LongscanGatedLinearForward {
  const float* h0;  // [B, H, V, K], or null: zero
  void* o;          // bf16 [B, T, H, V]
  float* ht;        // [B, H, V, K], or null: not wanted
  float* states;    // kept for the backward pass: longscanGatedLinearStatesBytes()
  void* workspace;  // longscanGatedLinearWorkspaceBytes()
};

struct LongscanGatedLinearBackward {
  const void* dO;       // bf16 [B, T, H, V]
  const float* states;  // of the forward pass
  int32_t fromZero;     // h0 was null
  const float* dht;     // [B, H, V, K], or null: zero
  void* dq;             // bf16 [B, T, H, K]
  void* dk;             // bf16 [B, T, H, K]
  void* dv;             // bf16 [B, T, H, V]
  float* dg;            // like g; not read where the decay has no gradient
  float* dh0;           // [B, H, V, K], or null: not wanted
  void* workspace;      // longscanGatedLinearBackwardWorkspaceBytes()
};

/// 0 where the call is not supported: head sizes, decay, or no tokens.
size_t longscanGatedLinearStatesBytes(const struct LongscanGatedLinear* call);
size_t longscanGatedLinearWorkspaceBytes(const struct LongscanGatedLinear* call);
size_t longscanGatedLinearBackwardWorkspaceBytes(const struct LongscanGatedLinear* call);

int longscanGatedLinearForward(const struct LongscanGatedLinear* call,
                               const struct LongscanGatedLinearForward* io, struct CUstream_st* stream);
int longscanGatedLinearBackward(const struct LongscanGatedLinear* call,
                                const struct LongscanGatedLinearBackward* io, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
