#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// The reverse sweep over each segment of each batch row; S = numSegments.
struct SelectiveGradient {
  LongscanSelectiveScanBackward io;
  int numSegments;
  int64_t segmentTokens;
  const float* incoming;   // [B, S, D, N], the adjoint of the state after the segment, or null: zero
  float* outgoing;         // [B, S, D, N], or null: not wanted
  float* partsA;           // [B, S, D, N]
  float *partsB, *partsC;  // [blocks of 32 channels, B, T, N]
};

/// Of a block.
size_t gradientSharedBytes(const LongscanSelectiveScan& call);
cudaError_t launchSelectiveGradient(const LongscanSelectiveScan& call, const SelectiveGradient& gradient,
                                    cudaStream_t stream);

}  // namespace longscan
