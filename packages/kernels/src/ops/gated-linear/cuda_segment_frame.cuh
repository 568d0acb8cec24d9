#pragma once

#include "cuda_sweep_parts.cuh"
#include "cuda_transfer.cuh"

namespace longscan {

/// What threads know of whole chunks of a slice without documents: a segment of a head. `Call` has its sizes
/// and log decays.
template <typename Call>
struct SegmentFrame {
  const Call& call;
  const Lane at;
  int segment, bh, b, h, firstChunk, endChunk;

  /// As blocks come, not as parts of one number: what a division gives is not known to be the same for all.
  __device__ explicit SegmentFrame(const Call& call)
      : call(call),
        segment(static_cast<int>(blockIdx.z)),
        b(static_cast<int>(blockIdx.x)),
        h(static_cast<int>(blockIdx.y)) {
    bh = b * call.H + h;
    const int numChunks = static_cast<int>((call.T + chunkTokens - 1) / chunkTokens);
    firstChunk = segment * call.chunksPerSegment;
    endChunk = min(firstChunk + call.chunksPerSegment, numChunks);
  }

  /// Where the segment's state of [B, H, segments, V, K] begins.
  __device__ int64_t stateAt() const { return int64_t{bh * call.numSegments + segment} * (call.K * call.V); }
  /// Of heads that share q and k.
  __device__ int group() const { return h / (call.H / call.G); }

  /// The lane's two log decays of a chunk: asked for before they are needed. Zeros outside of the segment.
  __device__ float2 gatesOf(int chunk) const {
    float own[2] = {0.0f, 0.0f};
    if (chunk < firstChunk || chunk >= endChunk) return make_float2(0.0f, 0.0f);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int64_t token = static_cast<int64_t>(chunk) * chunkTokens + 2 * at.lane + i;
      if (token < call.T) own[i] = call.g[call.gatePerToken ? (b * call.T + token) * call.H + h : h];
    }
    return make_float2(own[0], own[1]);
  }
};

}  // namespace longscan
