#pragma once

#include "../../../cuda/warp_arrival.cuh"
#include "maps.h"
#include "parts.cuh"
#include "transfer.cuh"

namespace longscan {

/// Shared memory of a sweep: the stages of inputs, P in bf16 for its products, Y if there is no room for one
/// in each stage, and what says how far all are.
template <int DC, int DO, SweepDecay kind, bool summary>
struct SweepLayout {
  static constexpr bool scalar = kind == SweepDecay::scalar;
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int state = DO / 64 * DC / 64 * panel;
  /// Y is used last in a chunk: while the next one's other products go on, its place is filled again.
  static constexpr bool lateY = DC == 256 && DO == 128 && !summary;
  // In a stage:
  static constexpr int Y = DO / 64 * panel;
  static constexpr int scores = Y + (lateY ? 0 : DC / 64 * panel);
  static constexpr int decays = scores + (kind == SweepDecay::contracted && !summary ? 2 * panel : 0);
  /// Of a scalar decay 64 sums of logarithms and the total, else the chunk's decay of each channel.
  static constexpr int numDecays = scalar ? 66 : DC;
  static constexpr int X = (decays + 4 * numDecays + 1023) / 1024 * 1024;
  /// A summary has X only of kind `contracted`, and only if what rounding took off Y is wanted: there.
  static constexpr int stage(bool hasX) { return X + (hasX ? DC / 64 * panel : 0); }
  // For each stage, and for the late Y: the piece, filled, emptied. Behind the decays if there is room before
  // X, else behind all.
  static constexpr int control = 32, filled = 8, emptied = 16;
  static constexpr int maxStages = 3;
  static constexpr bool controlInStage = decays + 4 * numDecays + control <= X;
  static_assert(!(lateY && controlInStage), "a late Y belongs to no stage");

  static constexpr int maxLate = 2;

  static constexpr int bytes(int numStages, int stageBytes, bool hasState) {
    return numStages * stageBytes + (hasState ? state : 0) + latePlaces(hasState) * DC / 64 * panel +
           (controlInStage ? 0 : (maxStages + maxLate) * control);
  }
  /// Places of a late Y: a second one where P's image needs none.
  static constexpr int latePlaces(bool hasState) { return !lateY ? 0 : hasState ? 1 : maxLate; }
};

/// What all threads of a block know: a segment of a head, and DO of its free channels, 64 for each warpgroup.
template <int DC, int DO, SweepDecay kind, bool summary>
class SweepFrame {
 public:
  static constexpr bool scalar = kind == SweepDecay::scalar;
  /// Whether the loading warps give registers to those that compute, which takes a whole warpgroup.
  static constexpr bool givesRegisters = summary ? DC == 256 && DO == 128 : DO == 128 || DC == 64;
  /// Threads that compute, and warps that load.
  static constexpr int threads = 2 * DO, loaders = givesRegisters ? 4 : 2;
  static constexpr int panels = DC / 64;
  using Layout = SweepLayout<DC, DO, kind, summary>;

  __device__ SweepFrame(const SweepCall& call, const SweepMaps& maps, unsigned char* shared)
      : call(call),
        task(call.tasks[blockIdx.y]),
        maps(maps.tasks[blockIdx.y]),
        mapped(maps.usable),
        shared(shared),
        base(sharedAddress(shared)) {
    tiles = (call.free + DO - 1) / DO;
    tile = blockIdx.x % tiles;
    segment = blockIdx.x / tiles % call.numSegments;
    bh = blockIdx.x / tiles / call.numSegments;
    b = static_cast<int>(bh / call.H);
    h = static_cast<int>(bh % call.H);
    numChunks = static_cast<int>((call.T + chunkTokens - 1) / chunkTokens);
    keys = task.freeIsKey ? call.free : call.contracted;
  }

  /// Before any thread uses a stage.
  __device__ void initBarriers() const {
    if (threadIdx.x != 0) return;
    for (int stage = 0; stage < call.stages; stage++) {
      initArrivals(filled(stage), 32 * loaders + 1);
      initArrivals(emptied(stage), threads / 32 * arrivalsOfWarp);
    }
    if (Layout::lateY) {
      for (int place = 0; place < Layout::maxLate; place++) {
        initArrivals(lateFilled(place), 32);
        initArrivals(lateEmptied(place), threads / 32 * arrivalsOfWarp);
      }
    }
#if __CUDA_ARCH__ >= 900
    publishBarriers();
#endif
  }

 protected:
  const SweepCall& call;
  const SweepTask& task;
  const TaskMaps& maps;
  const bool mapped;
  unsigned char* const shared;
  const uint32_t base;
  const Lane at;
  int tiles, tile, segment, b, h, numChunks, keys;
  int64_t bh;

  __device__ Tile<64> tileAt(int stage, int part, int panel) const {
    return {base + stage * call.stageBytes + part + panel * Layout::panel};
  }
  __device__ Tile<64> Z(int stage) const {
    return tileAt(stage, 0, at.warpgroup);
  }
  /// P in bf16, of all warpgroups.
  __device__ uint32_t stateBase() const {
    return base + call.stages * call.stageBytes;
  }
  /// Of a stage, or a late one's place.
  __device__ Tile<64> Y(int place, int panel) const {
    if (!Layout::lateY) return tileAt(place, Layout::Y, panel);
    return {base + call.lateAt + (place * DC / 64 + panel) * Layout::panel};
  }
  __device__ Tile<64> X(int stage, int panel) const {
    return tileAt(stage, Layout::X, panel);
  }
  __device__ Tile<64> scores(int stage, int term) const {
    return tileAt(stage, Layout::scores, term);
  }
  __device__ uint32_t decays(int stage) const {
    return base + stage * call.stageBytes + Layout::decays;
  }
  __device__ int2* pieceOf(int stage) const {
    return reinterpret_cast<int2*>(shared + (controlOf(stage) - base));
  }
  /// The warpgroup's first free channel, and how many there are from it on.
  __device__ int ownChannel() const {
    return tile * DO + 64 * at.warpgroup;
  }
  __device__ int ownChannels() const {
    return call.free - ownChannel();
  }
  __device__ int64_t chunkOf(const Piece& piece) const {
    return bh * numChunks + piece.chunk;
  }
  /// Whether tokens of a chunk are taken from the last to the first: sums of scalar decays follow their
  /// order.
  __device__ bool isReversed() const {
    return scalar && task.backward;
  }
  /// Which of them is the present head's.
  __device__ int headIn(const SweepRows& rows) const {
    return rows.heads == call.H ? h : h / (call.H / rows.heads);
  }
  /// Where the present head's first token lies in `rows`.
  __device__ int64_t headOf(const SweepRows& rows) const {
    return b * call.T * rows.pitch + headIn(rows) * rows.channels;
  }

  __device__ uint4* keptOf(uint4* kept, int chunk) const {
    return kept + ((bh * numChunks + chunk) * tiles + tile) * (SweepState<DC>::keptUnits * threads) +
           threadIdx.x;
  }

  __device__ uint32_t controlOf(int stage) const {
    return Layout::controlInStage ? decays(stage) + 4 * Layout::numDecays
                                  : base + call.controlAt + stage * Layout::control;
  }
  __device__ uint32_t filled(int stage) const {
    return controlOf(stage) + Layout::filled;
  }
  __device__ uint32_t emptied(int stage) const {
    return controlOf(stage) + Layout::emptied;
  }
  /// Of a late Y.
  __device__ uint32_t lateFilled(int place) const {
    return filled(Layout::maxStages + place);
  }
  __device__ uint32_t lateEmptied(int place) const {
    return emptied(Layout::maxStages + place);
  }
  __device__ int stageAfter(int stage) const {
    return stage + 1 == call.stages ? 0 : stage + 1;
  }
  __device__ int firstChunk() const {
    return segment * call.chunksPerSegment;
  }
  __device__ int endChunk() const {
    return min(firstChunk() + call.chunksPerSegment, numChunks);
  }
};

}  // namespace longscan
