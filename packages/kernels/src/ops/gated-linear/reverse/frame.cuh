#pragma once

#include "../segments/gradients_tiles.cuh"
#include "../segments/place.cuh"
#include "../sweep/transfer.cuh"
#include "reverse.h"

namespace longscan {

constexpr int reverseStages = 2;

template <int DK, int DV>
struct ReverseLayout : GradientsLayout<DK, DV> {
  using Panels = GradientsLayout<DK, DV>;
  static constexpr int warps = DV / 16;
  static constexpr int stages = Panels::scores + 2 * Panels::panel;
  // Beside the stages, of each one: log decays, shares of the decay's gradient, the piece.
  static constexpr int dots = 64 * 4;
  static constexpr int ends = dots + DV / 64 * 64 * 4;
  static constexpr int piece = ends + warps * 4;
  static constexpr int small = (piece + 8 + 15) / 16 * 16;
  static constexpr int smalls = stages + reverseStages * Panels::stage;
  static constexpr int barriers = smalls + reverseStages * small;
  static constexpr int bytes = barriers + 8 * (2 * reverseStages + 4);
};

/// What all threads of a block know: a segment of a head.
template <int DK, int DV>
class ReverseFrame : protected SegmentPlace<ReverseCall>, protected GradientsTiles<ReverseLayout<DK, DV>> {
 public:
  using Layout = ReverseLayout<DK, DV>;
  static constexpr int warpgroups = DV / 64, threads = 128 * warpgroups, loaders = 128;

  /// Before any thread uses them.
  __device__ static void initBarriers(unsigned char* shared) {
    if (threadIdx.x != 0) return;
    const uint32_t first = sharedAddress(shared) + Layout::barriers;
    for (int stage = 0; stage < reverseStages; stage++) {
      initArrivals(first + 8 * stage, loaders + 1);
      initArrivals(first + 8 * (reverseStages + stage), Layout::warps * arrivalsOfWarp);
    }
    initArrivals(first + 8 * (2 * reverseStages), 1);
    for (int i = 1; i < 4; i++)
      initArrivals(first + 8 * (2 * reverseStages + i), Layout::warps * arrivalsOfWarp);
    publishBarriers();
  }

  __device__ ReverseFrame(const ReverseCall& call, unsigned char* shared)
      : SegmentPlace(call, blockIdx.x % call.numSegments, blockIdx.x / call.numSegments / call.H,
                     blockIdx.x / call.numSegments % call.H),
        Tiles{sharedAddress(shared)},
        shared(shared) {}

 protected:
  using Tiles = GradientsTiles<Layout>;
  using Tiles::base;
  unsigned char* const shared;

  __device__ uint32_t smallOf(int stage) const { return base + Layout::smalls + stage * Layout::small; }
  __device__ int2* pieceOf(int stage) const {
    return reinterpret_cast<int2*>(shared + Layout::smalls + stage * Layout::small + Layout::piece);
  }

  __device__ uint32_t barrier(int number) const { return base + Layout::barriers + 8 * number; }
  __device__ uint32_t filled(int stage) const { return barrier(stage); }
  __device__ uint32_t emptied(int stage) const { return barrier(reverseStages + stage); }
  __device__ uint32_t stateFilled() const { return barrier(2 * reverseStages); }
  __device__ uint32_t stateEmptied() const { return barrier(2 * reverseStages + 1); }
  /// All have read D, the scores.
  __device__ uint32_t adjointRead() const { return barrier(2 * reverseStages + 2); }
  __device__ uint32_t scoresRead() const { return barrier(2 * reverseStages + 3); }

  /// Whether S enters the piece.
  __device__ static bool meetsState(const Piece& piece) { return piece.low == 0 && !piece.fresh; }
  /// Where the present head's first token lies in `rows`.
  __device__ int64_t headOf(const SweepRows& rows) const {
    const int head = rows.heads == call.H ? h : group();
    return b * call.T * rows.pitch + head * rows.channels;
  }
};

}  // namespace longscan
