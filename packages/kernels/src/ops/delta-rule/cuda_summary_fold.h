#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace longscan {

/// Composes what the segments of a slice do to a state, the first one first:
/// E' = E M_g^T + E_g, M'^T = M^T M_g^T, of rows of [B, H, V, K] and [B, H, K, K].
struct DeltaFoldCall {
  int64_t heads;
  int H, K, V, numSegments;
  const float* states;    // E of each segment, [segments, B, H, V, K]
  const float* factors;   // M^T of each segment, [segments, B, H, K, K]
  const int32_t* starts;  // [segments, B, H]: 1 where the segment forgets what came before
  float* state;           // [B, H, V, K]
  float* factor;          // [B, H, K, K]
};

cudaError_t launchDeltaFold(const DeltaFoldCall& call, cudaStream_t stream);

/// reset[b] = 1 where a segment of batch row b forgets what came before, else 0.
cudaError_t launchDeltaResets(const int32_t* starts, int64_t B, int H, int numSegments, float* reset,
                              cudaStream_t stream);

}  // namespace longscan
