#pragma once

#include "../sweep/sweep.h"

namespace longscan {

/// Gradients of the chunks' own tokens, of a gate per channel, after the sweeps have left states, adjoints, N
/// and Z = dv.
struct DeltaDiagonalGradientCall {
  int64_t B, T;
  int H, K, V;
  float scale;
  const __nv_bfloat16* q;  // [B, T, H, K]
  const __nv_bfloat16* k;  // [B, T, H, K]
  const float* beta;       // [B, T, H] or null
  const float* g;          // [B, T, H, K]
  const int32_t* resets;   // [B, T] or null
  bool fromZero;           // no state entered the slice: the first token's decay meets nothing

  const __nv_bfloat16* dO;           // [B, T, H, V]
  const __nv_bfloat16* dv;           // [B, T, H, V]
  const __nv_bfloat16* corrections;  // [B, H, chunks * 64, V]: N
  const __nv_bfloat16* states;       // [B, H, chunks, V, K]: S before each chunk
  const __nv_bfloat16* adjoints;     // [B, H, chunks, V, K]: D after each chunk
  const int32_t* finished;  // by the sweep beside: `deltaPartsOfChunk(V)` when a chunk is there; or null

  __nv_bfloat16* dq;  // [B, T, H, K]
  __nv_bfloat16* dk;  // [B, T, H, K]
  float* dbeta;       // [deltaBetaParts(K), B, T, H] or null: shares
  bool addsBeta;      // instead of storing shares: both are added to [B, T, H], which is zero before
  float* dg;          // [B, T, H, K]
};

/// One share for each 64 channels of K.
__host__ __device__ constexpr int deltaBetaParts(int K) {
  return (K + 63) / 64;
}

/// Chunks among all heads' chunks, written by the kernel before.
struct DeltaLeftChunks {
  const int32_t* chunks;
  const int32_t* count;
};

cudaError_t launchDeltaDiagonalGradient(const DeltaDiagonalGradientCall& call, cudaStream_t stream);

/// The same for these chunks alone. On Hopper.
cudaError_t launchDeltaLeftGradient(const DeltaDiagonalGradientCall& call, const DeltaLeftChunks& left,
                                    const DeltaDevice& device, cudaStream_t stream);

}  // namespace longscan
