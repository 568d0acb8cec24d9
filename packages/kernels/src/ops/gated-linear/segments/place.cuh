#pragma once

#include "segments.h"

namespace longscan {

/// A block's segment of a head.
template <typename Call>
struct SegmentPlace {
  const Call& call;
  const int segment, b, h, bh;
  const int firstChunk, endChunk;

  __device__ SegmentPlace(const Call& call, int segment, int b, int h)
      : call(call),
        segment(segment),
        b(b),
        h(h),
        bh(b * call.H + h),
        firstChunk(segment * call.chunksPerSegment),
        endChunk(min(firstChunk + call.chunksPerSegment, numChunks())) {}
  /// As `launchSegments` numbers blocks, not as parts of one number: what a division gives is not known to be
  /// the same for all.
  __device__ explicit SegmentPlace(const Call& call)
      : SegmentPlace(call, static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.x),
                     static_cast<int>(blockIdx.y)) {}

  /// Of the heads that share q and k.
  __device__ int group() const { return h / (call.H / call.G); }
  /// Where a state of [.., V, K] begins.
  __device__ int64_t stateAt(int number) const { return int64_t{number} * (call.K * call.V); }
  /// The same of the segment's, or of one further on, among [B, H, segments, V, K].
  __device__ int64_t enteringAt(int further = 0) const {
    return stateAt(bh * call.numSegments + segment + further);
  }
  /// Of the slice.
  __device__ int numChunks() const { return static_cast<int>((call.T + chunkTokens - 1) / chunkTokens); }
};

}  // namespace longscan
