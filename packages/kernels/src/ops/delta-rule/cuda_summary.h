#pragma once

#include "cuda.h"
#include "cuda/segments.h"
#include "cuda/workspace_parts.h"
#include "cuda_sweep.h"

namespace longscan {

/// How a slice is cut on the device, for its summaries in both directions: runs of chunks whose effects are
/// summarized side by side and then composed. By the shape alone.
Segments deltaSegments(const LongscanDeltaRule& call);

/// What the segments do to a state, kept for what goes against time.
struct DeltaSegments {
  WorkspaceParts arena;
  Segments cut;
  int32_t* starts;           // [count, B, H]: 1 where a document starts in the segment
  float* states = nullptr;   // E, [count, B, H, V, K]; null of a single segment
  float* factors = nullptr;  // M^T, [count, B, H, K, K], zero where one starts; null of a single segment

  DeltaSegments(const LongscanDeltaRule& call, const void* base)
      : arena(const_cast<void*>(base)), cut(deltaSegments(call)) {
    const int64_t heads = call.B * call.H;
    starts = arena.take<int32_t>(cut.count * heads);
    if (cut.count == 1) return;
    states = arena.take<float>(cut.count * heads * call.V * call.K);
    factors = arena.take<float>(cut.count * heads * call.K * call.K);
  }
};

inline int64_t deltaEffectsBytes(const LongscanDeltaRule& call) {
  return static_cast<int64_t>(DeltaSegments(call, nullptr).arena.used());
}

/// What `kept` has of the chunks, whoever prepared them; all of them are there. After the forward pass N is
/// in U's place.
DeltaChunks deltaPreparedChunks(const LongscanDeltaRule& call, const void* kept);

/// Whether slices are summarized by chunks on this device.
bool deltaSummarizes();

/// What the segments do to a state, to `states` and `factors` as in DeltaSegments.
cudaError_t launchDeltaEffects(const LongscanDeltaRule& call, const DeltaChunks& chunks,
                               const DeltaSegments& segments, float* states, float* factors,
                               cudaStream_t stream);

cudaError_t launchDeltaSummary(const LongscanDeltaRule& call, const LongscanDeltaRuleSummary& io,
                               cudaStream_t stream);

}  // namespace longscan
