#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace longscan {

/// D behind every segment, and D before them all, from what each does to an adjoint: D before it is G + D M,
/// D the one behind it, where no document starts in it, else G.
struct DeltaAdjointFold {
  int64_t B;
  int H, K, V;
  int first, count;       // segments [first, count) are folded
  const float* dht;       // [B, H, V, K] behind the last one, or null: zero
  const float* adjoints;  // [count, B, H, V, K]: G
  const float* maps;      // [count, B, H, K, K]: M, or M^T; not read of the last one if dht is null
  bool transposed;        // M^T
  const int32_t* starts;  // [count, B, H]: 1 where a document starts
  float* behind;          // [count, B, H, V, K]: D behind segments from first - 1 on; or null
  float* before;          // [B, H, V, K]: D before segment `first`, or null
};

cudaError_t launchDeltaAdjointFold(const DeltaAdjointFold& call, cudaStream_t stream);

}  // namespace longscan
