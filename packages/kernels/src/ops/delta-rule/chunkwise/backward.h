#pragma once

#include "../summary/summary.h"
#include "../sweep/sweep.h"

// The adjoints' sweep by segments: first the adjoint that leaves each through its own outputs, all at once,
// unless the summary against time has them; then D behind them; then all of them from there.

namespace longscan {

/// Room for what a sweep needs that is cut, should the call know what segments do; the shape alone does not
/// tell. `behind`: it is cut if it is known what leaves them; `leaving`: it is, too, if not.
struct DeltaBackwardMemory {
  float *leaving = nullptr, *behind = nullptr;  // [segments, B, H, V, K]

  DeltaBackwardMemory(const LongscanDeltaRule& call, const DeltaDevice& device, WorkspaceParts& arena);
};

/// Adjoints, dv and dh0. `effects`: of DeltaSegments, `leaving`: of the summary against time; or null.
cudaError_t launchDeltaAdjoints(const LongscanDeltaRule& call, DeltaSweepCall sweep, const void* effects,
                                const void* leaving, const DeltaBackwardMemory& memory, cudaStream_t stream);

}  // namespace longscan
