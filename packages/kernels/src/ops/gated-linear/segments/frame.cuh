#pragma once

#include "../sweep/parts.cuh"
#include "cuda/bulk_copy.cuh"
#include "place.cuh"

namespace longscan {

/// Shared memory of a walk over whole chunks: so many stages of inputs from `stagesAt` on, and of each its
/// barriers and 64 sums of log2 decays. `Panels`: what there is of 64 channels each, `stage` bytes in a
/// stage. A warpgroup computes for 64 values, one more warp loads.
template <typename Panels, int stagesAt, int count, int DV>
struct SegmentLayout : Panels {
  static constexpr int stages = stagesAt, numStages = count;
  static constexpr int filled = stages + numStages * Panels::stage;
  static constexpr int emptied = filled + 8 * numStages;
  static constexpr int decays = emptied + 8 * numStages;
  static constexpr int bytes = decays + numStages * 64 * 4;
  static constexpr int warpgroups = DV / 64, computing = 128 * warpgroups, threads = computing + 32;
};

/// What threads know of a walk over a segment's chunks, of a slice without documents, and the warp that
/// loads. `Layout`: a SegmentLayout with what a stage is made of. `decays`: whether the call has log decays.
template <typename Call, typename Layout, bool decays>
struct SegmentFrame : SegmentPlace<Call> {
  using Place = SegmentPlace<Call>;
  using Place::b;
  using Place::call;
  using Place::endChunk;
  using Place::firstChunk;
  using Place::h;
  const Lane at;
  const uint32_t base;

  __device__ SegmentFrame(const Call& call, uint32_t base) : Place(call), base(base) {}

  __device__ void initBarriers() const {
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < Layout::numStages; stage++) {
        initArrivals(filled(stage), arrivalsOfWarp);
        initArrivals(emptied(stage), 4 * Layout::warpgroups * arrivalsOfWarp);
      }
      publishBarriers();
    }
    __syncthreads();
  }

  /// One warp loads, as many chunks ahead as there are stages; `copy(chunk, stage)` by one of its threads.
  template <typename Copy>
  __device__ void loadChunks(bool backward, Copy&& copy) const {
    const int step = backward ? -1 : 1;
    int chunk = backward ? endChunk - 1 : firstChunk;
    float2 gates = make_float2(0.0f, 0.0f);
    if (decays) gates = gatesOf(chunk);
    for (int i = 0, stage = 0, round = 0; i < endChunk - firstChunk; i++, chunk += step) {
      float2 next = make_float2(0.0f, 0.0f);
      if (decays) next = gatesOf(chunk + step);
      if (round > 0) awaitArrivals(emptied(stage), round - 1);
      if (at.lane == 0) {
        expectBytes(filled(stage), Layout::stage);
        copy(chunk, stage);
      }
      if (decays) sumLogDecays(gates.x, gates.y, sums(stage), false, at.lane);
      arriveOfWarp(filled(stage));
      gates = next;
      advance(stage, round);
    }
  }

  /// For `loadChunks`: 64 channels each.
  template <int panels>
  __device__ void copyPanels(Tile<64> to, const CUtensorMap& map, int head, int chunk, int stage) const {
#pragma unroll
    for (int p = 0; p < panels; p++)
      copyBox(to.base + p * Layout::panel, map, filled(stage), 64 * p, head, chunk * chunkTokens, b);
  }

  __device__ static void advance(int& stage, int& round) {
    if (++stage < Layout::numStages) return;
    stage = 0;
    round++;
  }

  __device__ uint32_t filled(int stage) const {
    return base + Layout::filled + 8 * stage;
  }
  __device__ uint32_t emptied(int stage) const {
    return base + Layout::emptied + 8 * stage;
  }
  __device__ uint32_t sums(int stage) const {
    return base + Layout::decays + 256 * stage;
  }

  /// What decays the chunk in `stage`, whose sums are there.
  __device__ RowDecays rowDecays(int stage) const {
    return {sums(stage), decays ? loadSharedFloat(sums(stage) + 4 * 63) : 0.0f, decays};
  }

 private:
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
