#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace longscan {

/// dlog a_t of a scalar decay: the sum of q_s . dq_s - k_s . dk_s from t to the end of its document or chunk,
/// and what a chunk's last document has in common (`SweepTask::ends`).
struct DecayGradientCall {
  int64_t B, T;
  int H, parts, endParts;
  const float* queryDots;  // [B, H, T, parts]: shares of q . dq
  const float* keyDots;    // [B, H, T, parts]: shares of k . dk
  const float* ends;       // [B, H, chunks, endParts]
  float endScale;
  const int32_t* resets;  // [B, T] or null
  bool fromZero;          // no state entered the slice: the first token's decay meets nothing
  float* dg;              // [B, T, H]
};

cudaError_t launchDecayGradient(const DecayGradientCall& call, cudaStream_t stream);

}  // namespace longscan
