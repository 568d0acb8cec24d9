#pragma once

#include "../chunkwise/gradient.h"

namespace longscan {

struct DeltaDiagonalTokens : DeltaGradientTokens {
  bool fromZero;  // no state entered the slice: the first token's decay meets nothing
};

/// Gradients of the chunks' own tokens, of a gate per channel, after the sweeps. `dbeta`: in deltaDotParts(K)
/// shares, or added up.
struct DeltaDiagonalGradientCall : DeltaDiagonalTokens, DeltaGradientTensors {
  bool addsBeta;  // instead of storing shares: both are added to [B, T, H], which is zero before
  float* dg;      // [B, T, H, K]
};

/// What the gradients of whole chunks and of those that are left count, from zero: chunks drawn, chunks left,
/// blocks that leave no more, and how many 64 channels of left chunks have been drawn.
struct DeltaWholeCounts {
  int32_t drawn, left, through, leftDrawn;
};

/// Chunks among all heads' chunks, written by the `numWriters` blocks of the kernel before.
struct DeltaLeftChunks {
  const int32_t* chunks;
  DeltaWholeCounts* counts;
  int numWriters;
};

cudaError_t launchDeltaDiagonalGradient(const DeltaDiagonalGradientCall& call, cudaStream_t stream);

/// Whether the device's blocks have the shared memory for it.
bool deltaDiagonalGradientFits(const DeltaDevice& device);

/// The same for these chunks alone. On Hopper.
cudaError_t launchDeltaLeftGradient(const DeltaDiagonalGradientCall& call, const DeltaLeftChunks& left,
                                    const DeltaDevice& device, cudaStream_t stream);

}  // namespace longscan
