#pragma once

#include "../sweep/sweep.h"

namespace longscan {

/// What the chunks of a slice are to their own tokens. With c the sums of log decays since the piece's start:
/// A_ij = e^{c_i - c_j} k_i . k_j beta_j for j < i, Y = (I + A)^-1, the scores of the queries, W and U. Keys
/// that erase of their own stand in k_i's place, decayed up to the token before: e^{c_{i-1} - c_j} b_i . k_j.
struct DeltaPrepareCall : DeltaSlice {
  const __nv_bfloat16* q;  // [B, T, H, K]
  const __nv_bfloat16* k;  // [B, T, H, K]
  const __nv_bfloat16* v;  // [B, T, H, V]
  const float* beta;       // [B, T, H] or null
  const float* g;          // [B, T, H] or null
  const __nv_bfloat16* b;  // [B, T, H, K] or null: keys erase
  const int32_t* resets;   // [B, T] or null
  DeltaChunks to;
};

/// Clears `to.prepared` first.
cudaError_t launchDeltaPrepare(const DeltaPrepareCall& call, const DeltaDevice& device, cudaStream_t stream);

/// A beta of zero would hide its own gradient, k . dk / beta with dk as written key.
__host__ __device__ inline float usableBeta(float beta) {
  return beta < 1e-20f && beta > -1e-20f ? 1e-20f : beta;
}

}  // namespace longscan
