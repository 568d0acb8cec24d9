#pragma once

#include "cuda_sweep.h"

namespace longscan {

/// Of a diagonal gate: chunks.w and chunks.u, which the sweeps read, from Y, the keys and the values.
cudaError_t launchDeltaOperands(const DeltaSweepCall& call, cudaStream_t stream);

}  // namespace longscan
