#pragma once

#include <stddef.h>
#include <stdint.h>

// The gated linear recurrence on CUDA devices, as plain C: S_t = a_t S_{t-1} + k_t v_t^T, o_t = scale * S_t^T
// q_t, and its gradients; or with a decay on the values S_t = S_{t-1} diag(a_t) + k_t v_t^T. Calls only
// enqueue on the stream and allocate nothing. They return 0, or a cudaError_t. All memory is the device's,
// row-major, aligned to 16 bytes; states are f32, transposed, [B, H, V, K].
//
// A slice alone: Forward, then Backward. Between other slices of the sequence: Summarize and
// SummarizeBackward say what the slice does to a state and to an adjoint; what they leave in their workspace
// spares Forward and Backward that work (`prepared`). With `decayed`, the same for all calls of a slice, both
// passes share what a diagonal decay makes of the inputs and the states before every chunk.

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

enum LongscanType { longscanBf16 = 0, longscanF32 = 1 };

/// One slice of T tokens. K: a multiple of 8, at most 256; V: a multiple of 8, at most 512. With
/// `decayOnValues` the sizes' limits are exchanged, G = H, there is no bonus, a diagonal g is [B, T, H, V],
/// its factors [B, H, V], and states are [B, H, K, V].
struct LongscanGatedLinear {
  int64_t B, T;
  int32_t H, G, K, V;     // G groups of H / G heads in succession share q and k
  int32_t decay;          // LongscanDecay
  int32_t type;           // LongscanType of q, k, v, o and their gradients
  int32_t decayOnValues;  // 1: the decay acts on the values, else 0
  int32_t joined;         // 1: tokens of q, k and v lie side by side in rows of H (2 K + V) numbers, and so
                          // do those of dq, dk and dv; of bf16, G = H, V up to 256, no diagonal decay
                          // and no bonus
  float scale;            // not 0
  const void* q;          // [B, T, G, K]
  const void* k;          // [B, T, G, K]
  const void* v;          // [B, T, H, V]
  const float* g;         // log decay, finite, <= 0
  const float* bonus;     // [H, K]: o_t = scale * (S_{t-1} + diag(bonus) k_t v_t^T)^T q_t; or null
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
  // What both passes need of a diagonal decay: longscanGatedLinearDecayedBytes(), written by the forward pass
  // for the backward pass. Null: each makes it in its workspace.
  void* decayed;
};

struct LongscanGatedLinearForward {
  const float* h0;   // [B, H, V, K], or null: zero
  void* o;           // [B, T, H, V]
  float* ht;         // [B, H, V, K], or null: not wanted
  float* states;     // kept for the backward pass: longscanGatedLinearStatesBytes()
  void* workspace;   // longscanGatedLinearWorkspaceBytes()
  int32_t prepared;  // Summarize left its results in the workspace
};

struct LongscanGatedLinearBackward {
  const void* dO;       // [B, T, H, V]
  const float* states;  // of the forward pass
  int32_t fromZero;     // h0 was null
  const float* dht;     // [B, H, V, K], or null: zero
  void* dq;             // [B, T, H, K]: each head's share
  void* dk;             // [B, T, H, K]
  void* dv;             // [B, T, H, V]
  float* dg;            // like g; not read where the decay has no gradient
  float* dbonus;        // [B, H, K], shares of each batch row; not read where `bonus` is null
  float* dh0;           // [B, H, V, K], or null: not wanted
  void* workspace;      // longscanGatedLinearBackwardWorkspaceBytes()
  int32_t prepared;     // SummarizeBackward left its results in the workspace
};

/// The slice's effect on a state: reset ? state : factor * S + state.
struct LongscanGatedLinearSummary {
  float* state;     // [B, H, V, K]
  float* factor;    // scalar kinds [B, H], diagonal [B, H, K]; null: not wanted
  float* reset;     // [B], 1 where the slice holds a document start; null: not wanted
  void* workspace;  // longscanGatedLinearWorkspaceBytes()
};

/// Its effect on an adjoint, through its outputs: reset ? adjoint : factor * D + adjoint, factor and reset as
/// above.
struct LongscanGatedLinearSummaryBackward {
  const void* dO;   // [B, T, H, V]
  float* adjoint;   // [B, H, V, K]
  void* workspace;  // longscanGatedLinearBackwardWorkspaceBytes()
};

/// 0 where the call is not supported: head sizes, decay, or no tokens.
size_t longscanGatedLinearStatesBytes(const struct LongscanGatedLinear* call);
/// 0 too where nothing is shared: decays other than diagonal ones of keys, f32.
size_t longscanGatedLinearDecayedBytes(const struct LongscanGatedLinear* call);
size_t longscanGatedLinearWorkspaceBytes(const struct LongscanGatedLinear* call);
size_t longscanGatedLinearBackwardWorkspaceBytes(const struct LongscanGatedLinear* call);

int longscanGatedLinearForward(const struct LongscanGatedLinear* call,
                               const struct LongscanGatedLinearForward* io, struct CUstream_st* stream);
int longscanGatedLinearBackward(const struct LongscanGatedLinear* call,
                                const struct LongscanGatedLinearBackward* io, struct CUstream_st* stream);
int longscanGatedLinearSummarize(const struct LongscanGatedLinear* call,
                                 const struct LongscanGatedLinearSummary* io, struct CUstream_st* stream);
int longscanGatedLinearSummarizeBackward(const struct LongscanGatedLinear* call,
                                         const struct LongscanGatedLinearSummaryBackward* io,
                                         struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
