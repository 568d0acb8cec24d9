#pragma once

#include <stddef.h>
#include <stdint.h>

// The recurrences that write what they have read of the state with keys of their own (RWKV-7, DPLR) on CUDA
// devices, by chunks on the tensor cores, as plain C:
//
//     S_t = a_t S_{t-1} + beta_t k_t v_t^T + e_t (S_{t-1}^T b_t)^T,   o_t = scale * S_t^T q_t
//
// with e = -beta k where it is null, which has a gate per channel: with one per head, or none, those are
// other rows of the delta rule's own square (../cuda.h). Calls only enqueue on the stream and allocate
// nothing. They return 0, or a cudaError_t. All memory is the device's, row-major, aligned to 16 bytes;
// states are f32, transposed, [B, H, V, K].

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// One slice of T tokens. K and V: multiples of 8, at most 128 and 256.
struct LongscanDplr {
  int64_t B, T;
  int32_t H, K, V;
  int32_t hasGateOfChannels;  // 1: g [B, T, H, K]; 0: g [B, T, H]
  float scale;                // not 0
  const void* q;              // bf16 [B, T, H, K]
  const void* k;              // bf16 [B, T, H, K]
  const void* v;              // bf16 [B, T, H, V]
  const float* beta;          // [B, T, H], or null: 1
  const float* g;             // log a, finite, <= 0; or null: a = 1
  const void* b;              // bf16 [B, T, H, K]
  const void* e;              // bf16 [B, T, H, K], or null: -beta k, with a gate per channel
  const int32_t* resets;      // [B, T], 1 where a document starts (the state is forgotten first), or null
};

struct LongscanDplrForward {
  const float* h0;  // [B, H, V, K], or null: zero
  void* o;          // bf16 [B, T, H, V]
  float* ht;        // [B, H, V, K], or null: not wanted
  void* kept;       // for the backward pass: longscanDplrKeptBytes()
};

struct LongscanDplrBackward {
  const void* dO;    // bf16 [B, T, H, V]
  const void* kept;  // of the forward pass
  const float* dht;  // [B, H, V, K], or null: zero
  void* dq;          // bf16 [B, T, H, K]
  void* dk;          // bf16 [B, T, H, K]
  void* dv;          // bf16 [B, T, H, V]
  float* dbeta;      // like beta; not read where that is null
  float* dg;         // like g; not read where that is null
  void* db;          // bf16 [B, T, H, K]
  void* de;          // bf16 [B, T, H, K]; not read where e is null
  float* dh0;        // [B, H, V, K], or null: not wanted
  void* workspace;   // longscanDplrWorkspaceBytes()
};

/// 1 where the call is supported: its head sizes, and the device's shared memory; else 0.
int longscanDplrTakes(const struct LongscanDplr* call);
/// 0 where the call is not supported.
size_t longscanDplrKeptBytes(const struct LongscanDplr* call);
/// Of the backward pass.
size_t longscanDplrWorkspaceBytes(const struct LongscanDplr* call);

int longscanDplrForward(const struct LongscanDplr* call, const struct LongscanDplrForward* io,
                        struct CUstream_st* stream);
int longscanDplrBackward(const struct LongscanDplr* call, const struct LongscanDplrBackward* io,
                         struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
