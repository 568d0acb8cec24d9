#pragma once

#include <stddef.h>
#include <stdint.h>

// The delta rule on CUDA devices, as plain C: S_t = a_t S_{t-1} + beta_t k_t (v_t - (a_t S_{t-1})^T k_t)^T,
// o_t = scale * S_t^T q_t, and its gradients; or with keys that erase of their own (Comba), S_{t-1}^T b_t in
// place of (a_t S_{t-1})^T k_t. Calls only enqueue on the stream and allocate nothing. They return 0, or a
// cudaError_t. All memory is the device's, row-major, aligned to 16 bytes; states are f32, transposed,
// [B, H, V, K].

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

enum LongscanDeltaGate {
  longscanDeltaGateNone = 0,      // a = 1, g null
  longscanDeltaGateScalar = 1,    // g [B, T, H]
  longscanDeltaGateDiagonal = 2,  // g [B, T, H, K]
};

/// One slice of T tokens. K and V: multiples of 8, at most 256 and 512.
struct LongscanDeltaRule {
  int64_t B, T;
  int32_t H, K, V;
  int32_t gate;           // LongscanDeltaGate
  float scale;            // not 0
  const void* q;          // bf16 [B, T, H, K]
  const void* k;          // bf16 [B, T, H, K]
  const void* v;          // bf16 [B, T, H, V]
  const float* beta;      // [B, T, H], or null: 1
  const float* g;         // log a, finite, <= 0
  const void* b;          // bf16 [B, T, H, K], where a is no vector; or null: keys erase
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

struct LongscanDeltaRuleForward {
  const float* h0;       // [B, H, V, K], or null: zero
  void* o;               // bf16 [B, T, H, V]
  float* ht;             // [B, H, V, K], or null: not wanted
  void* kept;            // for the backward pass: longscanDeltaRuleKeptBytes()
  int32_t prepared;      // 1: longscanDeltaRulePrepare() has begun `kept`; 0: nothing has
  const void* segments;  // of the summary of what is prepared, where there is one, or null
  void* workspace;       // longscanDeltaRuleForwardWorkspaceBytes()
};

/// What the slice does to a state that enters it: S -> M S + E.
struct LongscanDeltaRuleSummary {
  const void* kept;  // of longscanDeltaRulePrepare(), before the forward pass
  float* state;      // E, [B, H, V, K]
  float* factor;     // M^T, [B, H, K, K]; zero where a document starts in the slice
  float* reset;      // [B], 1 where one does, else 0; or null
  void* segments;    // for the summary against time: longscanDeltaRuleSegmentsBytes()
};

/// What it does to an adjoint, against time.
struct LongscanDeltaRuleSummaryBackward {
  const void* dO;        // bf16 [B, T, H, V]
  const void* kept;      // of longscanDeltaRulePrepare(), or of the forward pass
  const void* segments;  // of the summary
  float* adjoint;        // dL/dh0 through this slice's outputs alone, [B, H, V, K]
  void* leaving;         // for the backward pass: longscanDeltaRuleSummaryBackwardBytes()
};

struct LongscanDeltaRuleBackward {
  const void* dO;        // bf16 [B, T, H, V]
  const void* kept;      // of the forward pass
  const void* segments;  // of the summary, where there is one, or null
  const void* leaving;   // of the summary against time, likewise
  const float* h0;       // as in the forward pass
  const float* dht;      // [B, H, V, K], or null: zero
  void* dq;              // bf16 [B, T, H, K]
  void* dk;              // bf16 [B, T, H, K]
  void* dv;              // bf16 [B, T, H, V]
  float* dbeta;          // [B, T, H], or null: not wanted
  float* dg;             // like g; not read where there is no gate
  void* db;              // like b; not read where that is null
  float* dh0;            // [B, H, V, K], or null: not wanted
  void* workspace;       // longscanDeltaRuleWorkspaceBytes()
};

/// 1 where the call is supported: its head sizes and gate, and the device's shared memory; else 0.
int longscanDeltaRuleTakes(const struct LongscanDeltaRule* call);
/// 0 where the call is not supported.
size_t longscanDeltaRuleKeptBytes(const struct LongscanDeltaRule* call);
/// Of the forward pass; 0 where it needs none.
size_t longscanDeltaRuleForwardWorkspaceBytes(const struct LongscanDeltaRule* call);
/// Of the backward pass.
size_t longscanDeltaRuleWorkspaceBytes(const struct LongscanDeltaRule* call);

/// Of summaries; 0, too, on devices without wgmma (compute capability 9.0), where slices are summarized token
/// by token (general/general.h).
size_t longscanDeltaRuleSegmentsBytes(const struct LongscanDeltaRule* call);
size_t longscanDeltaRuleSummaryBackwardBytes(const struct LongscanDeltaRule* call);

/// What of the forward pass needs no state, which a slice's summary and its outputs then have in common.
int longscanDeltaRulePrepare(const struct LongscanDeltaRule* call, void* kept, struct CUstream_st* stream);
int longscanDeltaRuleSummarize(const struct LongscanDeltaRule* call,
                               const struct LongscanDeltaRuleSummary* io, struct CUstream_st* stream);
int longscanDeltaRuleSummarizeBackward(const struct LongscanDeltaRule* call,
                                       const struct LongscanDeltaRuleSummaryBackward* io,
                                       struct CUstream_st* stream);

int longscanDeltaRuleForward(const struct LongscanDeltaRule* call, const struct LongscanDeltaRuleForward* io,
                             struct CUstream_st* stream);
int longscanDeltaRuleBackward(const struct LongscanDeltaRule* call,
                              const struct LongscanDeltaRuleBackward* io, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
