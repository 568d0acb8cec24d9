#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// Channels of a block; tokens that it takes at once, and between two kept states (`selectiveChunk` in
/// selective_scan.h); the unit in which a slice may be cut.
constexpr int blockChannels = 32, chunkTokens = 64, cutTokens = 256;

enum class SelectivePass { forward, summary, adjoint };

/// A sweep over each segment of each batch row; S = numSegments.
struct SelectiveSweep {
  SelectivePass pass;
  int numSegments;
  int64_t segmentTokens;
  const float* incoming;  // [B, S, D, N], or null: zero
  float* outgoing;        // [B, S, D, N], or null: not wanted
  void* y;                // forward
  float* checkpoints;     // forward: [B, ceil(T / 64), D, N]
  const void* dy;         // adjoint
  // Of passes without outputs:
  float* factor;     // [B, S, D, N], or null: not wanted
  double* sumDelta;  // [B, S, D], or null: not wanted
  int* reset;        // [B, S], or null: not wanted
};

cudaError_t launchSelectiveSweep(const LongscanSelectiveScan& call, const SelectiveSweep& sweep,
                                 cudaStream_t stream);

}  // namespace longscan
