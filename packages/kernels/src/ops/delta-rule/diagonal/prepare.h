#pragma once

#include "../chunkwise/prepare.h"

namespace longscan {

/// Of a gate per channel: see the op's README. g is [B, T, H, K]; of `to` all but `into` is written.
using DeltaDiagonalPrepareCall = DeltaPrepareCall;

/// Clears `to.prepared` first.
cudaError_t launchDeltaDiagonalPrepare(const DeltaDiagonalPrepareCall& call, const DeltaDevice& device,
                                       cudaStream_t stream);

}  // namespace longscan
