#pragma once

#include "../segments/gradients_tiles.cuh"
#include "../segments/place.cuh"
#include "cuda/bulk_copy.cuh"
#include "retrace.h"

namespace longscan {

constexpr int retraceStages = 2;

/// How the copy engine finds the inputs.
struct RetraceMaps {
  CUtensorMap q, k, v, dO;
};

/// Each stage has scores of its own.
template <int DK, int DV>
struct RetraceLayout : GradientsLayout<DK, DV> {
  using Panels = GradientsLayout<DK, DV>;
  static constexpr int stages = Panels::scores + retraceStages * 2 * Panels::panel;
  static constexpr int barriers = stages + retraceStages * Panels::stage;
  static constexpr int bytes = barriers + 8 * (3 * retraceStages + 4);
};

/// What all threads of a block know: a segment of a head. One warpgroup for each 64 values has D, as many S.
template <int DK, int DV>
class RetraceFrame : protected SegmentPlace<RetraceCall>, protected GradientsTiles<RetraceLayout<DK, DV>> {
 public:
  using Layout = RetraceLayout<DK, DV>;
  /// With D, and with S.
  static constexpr int warpgroups = DV / 64;
  static constexpr int threads = 2 * 128 * warpgroups;

  /// Before any thread uses them.
  __device__ static void initBarriers(unsigned char* shared) {
    if (threadIdx.x != 0) return;
    const uint32_t first = sharedAddress(shared) + Layout::barriers;
    constexpr int warps = 4 * warpgroups * arrivalsOfWarp;
    for (int stage = 0; stage < retraceStages; stage++) {
      initArrivals(first + 8 * stage, 1);
      initArrivals(first + 8 * (retraceStages + stage), 2 * warps);
      initArrivals(first + 8 * (2 * retraceStages + stage), warps);
    }
    for (int i = 0; i < 4; i++) initArrivals(first + 8 * (3 * retraceStages + i), warps);
    publishBarriers();
  }

  __device__ RetraceFrame(const RetraceCall& call, const RetraceMaps& maps, unsigned char* shared)
      : SegmentPlace(call),
        Tiles{sharedAddress(shared)},
        maps(maps),
        // Of the warp, as the compiler cannot know of a quotient.
        sharedHead(__shfl_sync(~0u, group(), 0)) {}

 protected:
  using Tiles = GradientsTiles<Layout>;
  using Tiles::base;
  const RetraceMaps& maps;
  const int sharedHead;  // of q and k

  /// One warp fills a stage.
  __device__ void fill(int chunk, int stage) const {
    arriveExpectingElected(threadIdx.x % 32 == 0, filled(stage), Layout::stage);
    copyPanels<DK / 64>(this->Q(stage, 0), maps.q, sharedHead, chunk, stage);
    copyPanels<DK / 64>(this->K(stage, 0), maps.k, sharedHead, chunk, stage);
    copyPanels<DV / 64>(this->V(stage, 0), maps.v, h, chunk, stage);
    copyPanels<DV / 64>(this->dO(stage, 0), maps.dO, h, chunk, stage);
  }

  __device__ uint32_t barrier(int number) const { return base + Layout::barriers + 8 * number; }
  __device__ uint32_t filled(int stage) const { return barrier(stage); }
  /// All have read the stage and its scores.
  __device__ uint32_t emptied(int stage) const { return barrier(retraceStages + stage); }
  __device__ uint32_t scored(int stage) const { return barrier(2 * retraceStages + stage); }
  /// D (0) or S (1) is there for products, and has been read by all whose it is.
  __device__ uint32_t published(int which) const { return barrier(3 * retraceStages + 2 * which); }
  __device__ uint32_t read(int which) const { return barrier(3 * retraceStages + 2 * which + 1); }

 private:
  template <int panels>
  __device__ void copyPanels(Tile<64> to, const CUtensorMap& map, int head, int chunk, int stage) const {
#pragma unroll
    for (int p = 0; p < panels; p++)
      copyBoxElected(threadIdx.x % 32 == 0, to.base + p * Layout::panel, map, filled(stage), 64 * p, head,
                     chunk * chunkTokens, b);
  }
};

}  // namespace longscan
