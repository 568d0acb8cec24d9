#pragma once

#include <cuda_runtime.h>

#include "cuda/segments.h"
#include "cuda/workspace_parts.h"
#include "cuda_sweep.h"

// The adjoints' sweep by segments, all at once: what each does to an adjoint, then from the slice's end on D
// behind each of them.

namespace longscan {

/// The segments of a slice of which only the adjoint at its start is wanted, and those of a backward pass. By
/// the shape alone.
Segments deltaSummarySegments(int64_t B, int64_t T, int H, int K, int V);
Segments deltaBackwardSegments(int64_t B, int64_t T, int H, int K, int V);

/// What segments leave, and what enters them. Nothing of one segment.
struct DeltaSegmentStates {
  float *adjoints = nullptr, *maps = nullptr, *behind = nullptr;
  int32_t* starts = nullptr;

  /// `behind` only if `wantsBehind`.
  DeltaSegmentStates(WorkspaceParts& arena, const Segments& segments, int64_t heads, int64_t B, int K, int V,
                     bool wantsBehind) {
    if (segments.count == 1) return;
    adjoints = arena.take<float>(segments.count * heads * V * K);
    maps = arena.take<float>(segments.count * heads * K * K);
    if (wantsBehind) behind = arena.take<float>(segments.count * heads * V * K);
    starts = arena.take<int32_t>(segments.count * B);
  }
};

/// `adjoint`, [B, H, V, K]: D before the slice if D behind it is zero. Of `call` chunks and dO are read.
cudaError_t launchDeltaAdjointSummary(DeltaSweepCall call, const Segments& segments,
                                      const DeltaSegmentStates& states, float* adjoint, cudaStream_t stream);

/// Cuts the sweep: its `dht` becomes D behind each segment.
cudaError_t launchDeltaAdjointsBehind(DeltaSweepCall& call, const Segments& segments,
                                      const DeltaSegmentStates& states, cudaStream_t stream);

}  // namespace longscan
