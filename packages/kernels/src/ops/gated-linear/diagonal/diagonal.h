#pragma once

#include <cuda_runtime.h>

#include "../slice.h"

struct __nv_bfloat16;

namespace longscan {

/// What a diagonal decay does inside chunks, before the sweeps: queries and keys decayed from and to the ends
/// of their piece of the chunk, and the scores inside it.
struct DiagonalCall : SliceSizes {
  float scale;
  const __nv_bfloat16* q;  // [B, T, G, K]
  const __nv_bfloat16* k;  // [B, T, G, K]
  const float* g;          // [B, T, H, K], log decay <= 0
  const int32_t* resets;   // [B, T] or null
  __nv_bfloat16*
      decayedQuery;  // [B, T, H, K]: scale * q_t decayed by what lies between the piece's start and t, t too
  __nv_bfloat16* decayedKey;           // [B, T, H, K]: k_t decayed by what follows it in the piece
  __nv_bfloat16 *queryRest, *keyRest;  // what rounding takes off them, or null: not wanted
  float* gamma;                        // [B, H, chunks, K]: the decay of the chunk's first piece
  __nv_bfloat16* scores;               // [scoreTerms, B, H, chunks, 64, 64], [key][query] of a chunk
  int scoreTerms;                      // 2: the second are what rounding takes off the first
  // [H, K], or null. With a bonus a token reads before it decays and writes: queries are decayed up to the
  // token before, and its score with itself is scale * q . (bonus k).
  const float* bonus;
};

cudaError_t launchDiagonalPrepare(const DiagonalCall& call, cudaStream_t stream);

/// `queryRest` alone, the same bits, where the rest is there from before.
cudaError_t launchQueryRest(const DiagonalCall& call, cudaStream_t stream);

/// What is left after the sweeps, each chunk for itself: dq and dk are what the states on both sides of the
/// chunk give, plus what its tokens give each other; dg follows from both.
struct DiagonalGradientCall {
  DiagonalCall call;              // inputs only
  const __nv_bfloat16* v;         // [B, T, H, V]
  const __nv_bfloat16* dO;        // [B, T, H, V]
  const unsigned char* states;    // [B, H, chunks]: SweepTask::images of S before each chunk
  const unsigned char* adjoints;  // [B, H, chunks]: of D after it
  bool fromZero;                  // no state entered the slice: the first token's decay meets nothing
  __nv_bfloat16* dq;              // [B, T, H, K]
  __nv_bfloat16* dk;              // [B, T, H, K]; null: only dq is wanted; adjoints and dg are not used
  float* dg;                      // [B, T, H, K]
  float* bonusShares;             // [chunks, B, H, K], if there is a bonus
  // Set by launchDiagonalGradient: stages of values in shared memory, and the chunk of all rows that blocks
  // begin with.
  int stages;
  unsigned firstChunk;
};

cudaError_t launchDiagonalGradient(const DiagonalGradientCall& call, cudaStream_t stream);

}  // namespace longscan
