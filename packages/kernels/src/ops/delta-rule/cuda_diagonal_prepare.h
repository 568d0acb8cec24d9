#pragma once

#include "cuda_sweep.h"

namespace longscan {

/// What the chunks of a slice are to their own tokens, of a gate per channel: see the op's README.
struct DeltaDiagonalPrepareCall {
  int64_t B, T;
  int H, K, V;
  float scale;
  const __nv_bfloat16* q;  // [B, T, H, K]
  const __nv_bfloat16* k;  // [B, T, H, K]
  const __nv_bfloat16* v;  // [B, T, H, V]
  const float* beta;       // [B, T, H] or null
  const float* g;          // [B, T, H, K]
  const int32_t* resets;   // [B, T] or null
  DeltaChunks to;          // all but `into`
};

/// Clears `to.prepared` first.
cudaError_t launchDeltaDiagonalPrepare(const DeltaDiagonalPrepareCall& call, const DeltaDevice& device,
                                       cudaStream_t stream);

}  // namespace longscan
