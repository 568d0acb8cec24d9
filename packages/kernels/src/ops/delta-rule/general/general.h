#pragma once

#include <stddef.h>
#include <stdint.h>

// Every kind of delta_rule.h on CUDA devices, as plain C: inputs in bf16 or f32, token by token in f32, for
// what the chunkwise kernels of cuda.h do not reach, and what a slice does to a state. Calls only enqueue on
// the stream and allocate nothing. They return 0, or a cudaError_t. All memory is the device's, row-major,
// aligned to 16 bytes; states are f32, transposed, [B, H, V, K].

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

enum LongscanDeltaDecay {
  longscanDeltaDecayNone = 0,      // g null
  longscanDeltaDecayScalar = 1,    // g [B, T, H]
  longscanDeltaDecayDiagonal = 2,  // g [B, T, H, K]
};

enum LongscanDeltaErase {
  longscanDeltaEraseKey = 0,   // b and e null
  longscanDeltaEraseOwn = 1,   // e null
  longscanDeltaEraseDplr = 2,  // S_r = a_r S_{r-1} + beta_r k_r v_r^T + e_r (S_{r-1}^T b_r)^T
};

/// The axis of the state that a query is contracted with.
enum LongscanDeltaRead { longscanDeltaReadKey = 0, longscanDeltaReadValue = 1 };

/// One slice. K: at most 256, V: at most 512.
struct LongscanDeltaGeneral {
  int64_t B, T;
  int32_t H, K, V;
  int32_t type;   // LongscanElement of q, k, v, b, e, o and their gradients
  int32_t decay;  // LongscanDeltaDecay
  int32_t erase;  // LongscanDeltaErase
  int32_t read;   // LongscanDeltaRead
  float scale;
  const void* q;          // [B, T, H, K], read by value [B, T, H, V]
  const void* k;          // [B, T, H, K]
  const void* v;          // [B, T, H, V]
  const float* beta;      // [B, T, H], a factor of the written k, or null
  const float* g;         // log decay, finite, <= 0
  const void* b;          // [B, T, H, K]
  const void* e;          // [B, T, H, K]
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

struct LongscanDeltaGeneralForward {
  const float* h0;  // [B, H, V, K], or null: zero
  void* o;          // [B, T, H, V], read by value [B, T, H, K]
  float* ht;        // [B, H, V, K], or null: not wanted
  float* kept;      // for the backward pass
  void* workspace;
};

struct LongscanDeltaGeneralBackward {
  const void* dO;     // like o
  const float* kept;  // of the forward pass
  const float* h0;    // as in the forward pass
  const float* dht;   // [B, H, V, K], or null: zero
  // Each like its input; those of beta, g, b and e are not read where that is null.
  void *dq, *dk, *dv;
  float *dbeta, *dg;
  void *db, *de;
  float* dh0;  // [B, H, V, K], or null: not wanted
  void* workspace;
};

/// What the slice does to a state.
struct LongscanDeltaGeneralSummary {
  float* state;   // E, [B, H, V, K]
  float* factor;  // M^T, [B, H, K, K]; without meaning where a document starts in the slice
  float* reset;   // [B], 1 where one does, else 0; or null
  void* workspace;
};

/// What it does to an adjoint, against time.
struct LongscanDeltaGeneralSummaryBackward {
  const void* dO;  // like o
  float* adjoint;  // dL/dh0 through this slice's outputs alone, [B, H, V, K]
  void* workspace;
};

enum LongscanDeltaGeneralMemory {
  longscanDeltaGeneralKept = 0,
  longscanDeltaGeneralForwardWorkspace = 1,
  longscanDeltaGeneralBackwardWorkspace = 2,
  longscanDeltaGeneralSummaryWorkspace = 3,
  longscanDeltaGeneralSummaryBackwardWorkspace = 4,
};

/// Bytes of LongscanDeltaGeneralMemory; 0 where the call is not supported: head sizes, kinds, no tokens.
size_t longscanDeltaGeneralBytes(const struct LongscanDeltaGeneral* call, int which);

int longscanDeltaGeneralForward(const struct LongscanDeltaGeneral* call,
                                const struct LongscanDeltaGeneralForward* io, struct CUstream_st* stream);
int longscanDeltaGeneralBackward(const struct LongscanDeltaGeneral* call,
                                 const struct LongscanDeltaGeneralBackward* io, struct CUstream_st* stream);
int longscanDeltaGeneralSummarize(const struct LongscanDeltaGeneral* call,
                                  const struct LongscanDeltaGeneralSummary* io, struct CUstream_st* stream);
int longscanDeltaGeneralSummarizeBackward(const struct LongscanDeltaGeneral* call,
                                          const struct LongscanDeltaGeneralSummaryBackward* io,
                                          struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
