#pragma once

#include <stdint.h>

// What a segment does to a state, on CUDA devices, as plain C: see transition.h for kinds and shapes. All
// f32, in device memory; returns 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

struct LongscanTransition {
  int kind;        // TransitionKind
  int transposed;  // M as its transpose
  int64_t rowsPerHead, headsPerBatch, rowLength;
  const float* factor;  // as the kind says
  const float* rates;   // as the kind says
  const float* reset;   // [B] or null
  const float* E;       // [B, H, R, N]
  const float* S;       // [B, H, R, N], may be `out`
  float* out;           // [B, H, R, N]
};

/// Rows [begin, end) of out = reset ? E : M S + E.
int longscanTransitionApply(const struct LongscanTransition* task, int64_t begin, int64_t end,
                            struct CUstream_st* stream);

/// out = the factor of `earlier` and then `later`, for `numHeads` heads whose rows have `rowLength` numbers.
int longscanTransitionCompose(int kind, int transposed, int64_t numHeads, int64_t rowLength,
                              const float* earlier, const float* later, float* out,
                              struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
