#pragma once

#include "gradient.h"

namespace longscan {

/// Where the gradients of whole chunks that decay mildly are taken by themselves, and which chunks are left.
struct DeltaWholeChunks {
  DeltaWholeCounts* counts;  // zero at first
  int32_t* left;             // [B, H, chunks]: which
  const float* outOf;        // [B, H, chunks * 64]: beta
  const float* gamma;        // [B, H, chunks, K]: the decay of each chunk
};

/// Whether there is such a kernel for heads of this size on this device.
bool deltaTakesWholeChunks(const DeltaDevice& device, int K, int V);

/// How many blocks take them, and write what they leave.
int deltaWholeBlocks(const DeltaDiagonalGradientCall& call, const DeltaDevice& device);

/// As `launchDeltaDiagonalGradient`; what it leaves is for `launchDeltaLeftGradient`, behind it.
cudaError_t launchDeltaWholeGradient(const DeltaDiagonalGradientCall& call, const DeltaWholeChunks& whole,
                                     const DeltaDevice& device, cudaStream_t stream);

}  // namespace longscan
