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

/// Chunks among all heads' chunks, written by the kernel before.
struct DeltaLeftChunks {
  const int32_t* chunks;
  const int32_t* count;
};

cudaError_t launchDeltaDiagonalGradient(const DeltaDiagonalGradientCall& call, cudaStream_t stream);

/// Whether the device's blocks have the shared memory for it.
bool deltaDiagonalGradientFits(const DeltaDevice& device);

/// The same for these chunks alone. On Hopper.
cudaError_t launchDeltaLeftGradient(const DeltaDiagonalGradientCall& call, const DeltaLeftChunks& left,
                                    const DeltaDevice& device, cudaStream_t stream);

}  // namespace longscan
