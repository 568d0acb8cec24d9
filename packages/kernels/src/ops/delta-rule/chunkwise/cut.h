#pragma once

#include <cstdint>

#include "../cuda.h"
#include "cuda/on_both.h"
#include "cuda/segments.h"
#include "cuda/workspace_parts.h"

// How a slice is cut on a device, by the shape alone.

namespace longscan {

constexpr int deltaChunkTokens = 64;

constexpr int64_t numDeltaChunks(int64_t T) {
  return (T + deltaChunkTokens - 1) / deltaChunkTokens;
}

/// Of `DeltaChunks::prepared` or `DeltaSweepCall::finished`: one a chunk, then what `prepare` has drawn and
/// how far each head's blocks are, or what gradients have drawn, or the four of `DeltaWholeCounts`.
constexpr int64_t numDeltaCounts(int64_t heads, int64_t T) {
  return heads * (numDeltaChunks(T) + 1) + 3;
}

/// Two warpgroups of a summary's block with 64 columns of [E M] each.
constexpr int summaryGroups = 2;

/// A summary's columns of [E M], in tiles of 64: those of V first, then those of K.
LONGSCAN_ON_BOTH constexpr int summaryTiles(int columns) {
  return (columns + 63) / 64;
}
LONGSCAN_ON_BOTH constexpr int summaryBlocksOfHead(int K, int V) {
  return (summaryTiles(K) + summaryTiles(V) + summaryGroups - 1) / summaryGroups;
}

/// For a slice's summaries in both directions: runs of chunks whose effects are summarized side by side and
/// then composed.
inline Segments deltaSegments(const LongscanDeltaRule& call) {
  constexpr int64_t most = 32;
  // What starting a segment and composing it take, in what a chunk takes.
  constexpr int64_t startChunks = 4;
  const int64_t foldChunks = (call.K + 63) / 64;
  const int64_t blocks = call.B * call.H * summaryBlocksOfHead(call.K, call.V);
  Segments best = Segments::about(call.T, 1, deltaChunkTokens);
  int64_t least = INT64_MAX;
  for (int64_t wanted = 1; wanted <= most; wanted++) {
    const Segments cut = Segments::about(call.T, wanted, deltaChunkTokens);
    const int64_t rounds = (blocks * cut.count + wantedMultiprocessors - 1) / wantedMultiprocessors;
    const int64_t time = rounds * (numDeltaChunks(cut.tokens) + startChunks) + foldChunks * (cut.count - 1);
    if (time >= least) continue;
    least = time;
    best = cut;
  }
  return best;
}

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

}  // namespace longscan
