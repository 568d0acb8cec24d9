#pragma once

#include "../summary/summary.h"
#include "../sweep/sweep.h"
#include "gradient.h"
#include "kept.h"

// What backward passes have in common, whatever the gate. The adjoints' half: one sweep, or by segments first
// the adjoint that leaves each through its own outputs, all at once, unless the summary against time has
// them; then D behind them; then all of them from there. What the gradients take of it. And dbeta, where they
// leave it in shares.

namespace longscan {

/// What the adjoints' half leaves for the gradients, and room for what a sweep needs that is cut, should the
/// call know what segments do; the shape alone does not tell. `behind`: it is cut if it is known what leaves
/// them; `leaving`: it is, too, if not.
struct DeltaBackwardMemory {
  float *leaving = nullptr, *behind = nullptr;  // [segments, B, H, V, K]
  __nv_bfloat16* adjoints;                      // as in DeltaSweepCall
  int32_t* finished = nullptr;                  // likewise, where gradients begin beside the sweep
  int32_t* gradientCounts = nullptr;            // behind those, cleared with them: the gradients' own

  int numBetaShares;
  float* betaShares = nullptr;  // [numBetaShares, B, T, H]; null of a single one

  DeltaBackwardMemory(const LongscanDeltaRule& call, const DeltaDevice& device, int numBetaShares,
                      WorkspaceParts& arena);
};

/// Adjoints, dv and dh0.
cudaError_t launchDeltaAdjoints(const LongscanDeltaRule& call, const LongscanDeltaRuleBackward& io,
                                const DeltaKept<__nv_bfloat16>& kept, const DeltaBackwardMemory& memory,
                                cudaStream_t stream);

/// What every kernel of gradients takes: of the call, and of what the adjoints' half has left. Of a dbeta in
/// shares, those.
DeltaGradientTokens gradientTokensOf(const LongscanDeltaRule& call);
DeltaGradientTensors gradientTensorsOf(const LongscanDeltaRuleBackward& io,
                                       const DeltaKept<__nv_bfloat16>& kept,
                                       const DeltaBackwardMemory& memory);

/// dbeta of its shares, after the gradients; nothing where it is there already.
cudaError_t launchDeltaBeta(const LongscanDeltaRule& call, const LongscanDeltaRuleBackward& io,
                            const DeltaBackwardMemory& memory, cudaStream_t stream);

}  // namespace longscan
