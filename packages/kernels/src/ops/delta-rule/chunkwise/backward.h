#pragma once

#include "../summary/summary.h"
#include "../sweep/sweep.h"
#include "kept.h"

// The adjoints' half of a backward pass, whatever the gate: one sweep, or by segments first the adjoint that
// leaves each through its own outputs, all at once, unless the summary against time has them; then D behind
// them; then all of them from there.

namespace longscan {

/// What this half leaves for the gradients, and room for what a sweep needs that is cut, should the call know
/// what segments do; the shape alone does not tell. `behind`: it is cut if it is known what leaves them;
/// `leaving`: it is, too, if not.
struct DeltaBackwardMemory {
  float *leaving = nullptr, *behind = nullptr;  // [segments, B, H, V, K]
  __nv_bfloat16* adjoints;                      // as in DeltaSweepCall
  int32_t* finished = nullptr;                  // likewise, where gradients begin beside the sweep

  DeltaBackwardMemory(const LongscanDeltaRule& call, const DeltaDevice& device, WorkspaceParts& arena);
};

/// Adjoints, dv and dh0.
cudaError_t launchDeltaAdjoints(const LongscanDeltaRule& call, const LongscanDeltaRuleBackward& io,
                                const DeltaKept<__nv_bfloat16>& kept, const DeltaBackwardMemory& memory,
                                cudaStream_t stream);

}  // namespace longscan
