#pragma once

#include "../sweep/sweep.h"

namespace longscan {

/// The adjoints' sweep on Hopper for 64 < K <= 128, V > 32 without a gate per channel: adjoints, dv and dh0.
cudaError_t launchDeltaTwoPanelAdjoints(const DeltaSweepCall& call, cudaStream_t stream);

}  // namespace longscan
