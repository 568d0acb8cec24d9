#pragma once

#include "gradient.h"

namespace longscan {

/// Where the gradients of whole chunks that decay mildly are taken by themselves, and which chunks are left.
struct DeltaWholeChunks {
  int32_t* drawn;      // [2]: zero at first: how many chunks have been drawn, and how many are left
  int32_t* left;       // [B, H, chunks]: which
  const float* outOf;  // [B, H, chunks * 64]: beta
  const float* gamma;  // [B, H, chunks, K]: the decay of each chunk
};

/// Whether there is such a kernel for heads of this size on this device.
bool deltaTakesWholeChunks(const DeltaDevice& device, int K, int V);

/// As `launchDeltaDiagonalGradient`; what it leaves is for `launchDeltaLeftGradient`, behind it.
cudaError_t launchDeltaWholeGradient(const DeltaDiagonalGradientCall& call, const DeltaWholeChunks& whole,
                                     const DeltaDevice& device, cudaStream_t stream);

}  // namespace longscan
