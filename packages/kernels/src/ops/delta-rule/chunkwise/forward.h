#pragma once

#include "../summary/summary.h"
#include "../sweep/sweep.h"
#include "kept.h"

// The forward sweep by segments: first what each does to a state, all at once, then the states that enter
// them, then all of them from there.

namespace longscan {

/// Whether the sweep of a slice whose summary nobody made is cut: where few heads leave most of the device
/// idle, and it is longer than what takes its place.
bool deltaForwardIsCut(const LongscanDeltaRule& call);

/// Where segments' effects go if no summary has them; null if the sweep is not cut.
inline void* effectsOf(const LongscanDeltaRule& call, const DeltaKept<__nv_bfloat16>& kept) {
  return deltaForwardIsCut(call) ? kept.effects : nullptr;
}

size_t deltaForwardWorkspaceBytes(const LongscanDeltaRule& call);

/// o, ht, and what `kept` has of them; of a cut sweep with all that comes before it. `effects`: as
/// effectsOf() has them.
cudaError_t launchDeltaOutputs(const LongscanDeltaRule& call, const LongscanDeltaRuleForward& io,
                               DeltaSweepCall sweep, void* effects, cudaStream_t stream);

}  // namespace longscan
