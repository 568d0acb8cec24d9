#pragma once

#include "cuda_summary.h"
#include "cuda_sweep.h"

// The adjoints' sweep by segments: first the adjoint that leaves each through its own outputs, all at once,
// then D behind them, then all of them from there.

namespace longscan {

/// Whether the sweep of a slice whose segments' effects are known is cut: where few heads leave most of the
/// device idle, and it is longer than what takes its place.
bool deltaBackwardIsCut(const LongscanDeltaRule& call);

/// What a cut sweep needs besides.
struct DeltaBackwardMemory {
  float *adjoints = nullptr, *behind = nullptr;  // [segments, B, H, V, K]

  DeltaBackwardMemory(const LongscanDeltaRule& call, WorkspaceParts& arena);
};

/// Adjoints, dv and dh0. `effects`: of DeltaSegments, or null.
cudaError_t launchDeltaAdjoints(const LongscanDeltaRule& call, DeltaSweepCall sweep, const void* effects,
                                const DeltaBackwardMemory& memory, cudaStream_t stream);

}  // namespace longscan
