#pragma once

#include <cuda_runtime.h>

#include "cuda/segments.h"
#include "cuda/workspace_parts.h"
#include "cuda_sweep.h"

// The adjoints' sweep of one device by segments: first what each does to an adjoint, all at once, then D
// behind each of them, then all of them from there.

namespace longscan {

/// How the sweep is cut: where few heads leave most of the device idle, and it is longer than both sweeps of
/// its segments. By the shape alone.
Segments deltaAdjointSegments(int64_t heads, int64_t T, int K, int V);

/// What segments do to an adjoint, and D behind them. Nothing of one segment.
struct DeltaAdjointMemory {
  float *adjoints = nullptr, *maps = nullptr, *behind = nullptr;
  int32_t* starts = nullptr;

  DeltaAdjointMemory(WorkspaceParts& arena, int segments, int64_t heads, int K, int V) {
    if (segments == 1) return;
    adjoints = arena.take<float>(segments * heads * V * K);
    maps = arena.take<float>(segments * heads * K * K);
    behind = arena.take<float>(segments * heads * V * K);
    starts = arena.take<int32_t>(segments * heads);
  }
};

/// The adjoints' sweep; of a cut one with all that comes before it.
cudaError_t launchDeltaAdjoints(const DeltaSweepCall& sweep, const DeltaAdjointMemory& memory,
                                cudaStream_t stream);

}  // namespace longscan
