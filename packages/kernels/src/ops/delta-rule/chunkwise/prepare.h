#pragma once

#include "../sweep/sweep.h"

namespace longscan {

/// What the chunks of a slice are to their own tokens. With c the sums of log decays since the piece's start:
/// A_ij = e^{c_i - c_j} k_i . k_j beta_j for j < i, Y = (I + A)^-1, the scores of the queries, W and U.
struct DeltaPrepareCall : DeltaSlice {
  const __nv_bfloat16* q;  // [B, T, H, K]
  const __nv_bfloat16* k;  // [B, T, H, K]
  const __nv_bfloat16* v;  // [B, T, H, V]
  const float* beta;       // [B, T, H] or null
  const float* g;          // [B, T, H] or null
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
