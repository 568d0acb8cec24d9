#pragma once

#include "cuda_sweep_parts.cuh"

namespace longscan {

/// Shared memory of a sweep: P in bf16 for its products, for each warp a copy of the log decays, and the
/// stages of inputs.
template <int DC, int DO, SweepDecay kind, bool summary>
struct SweepLayout {
  static constexpr bool scalar = kind == SweepDecay::scalar;
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int sums = summary && !scalar ? 0 : DO / 64 * DC / 64 * panel;
  static constexpr int stages = sums + (scalar ? DO / 16 * 64 * 4 : 0);
  // In a stage:
  static constexpr int Y = DO / 64 * panel;
  static constexpr int X = Y + DC / 64 * panel;
  static constexpr int scores = X + (summary ? 0 : DC / 64 * panel);
  static constexpr int decays = scores + (kind == SweepDecay::contracted && !summary ? 2 * panel : 0);
  static constexpr int numDecays = scalar ? 64 : kind == SweepDecay::free ? DO : DC;
  static constexpr int piece = decays + 4 * numDecays;
  static constexpr int stage = (piece + 8 + 1023) / 1024 * 1024;
  static_assert(stages % 1024 == 0, "tiles are aligned to 1024 bytes");

  static constexpr int bytes(int numStages) { return stages + numStages * stage; }
};

/// What all threads of a block know: a segment of a head, and DO of its free channels, 64 for each warpgroup.
template <int DC, int DO, SweepDecay kind, bool summary>
class SweepFrame {
 public:
  static constexpr bool scalar = kind == SweepDecay::scalar;
  /// Threads that compute, and those with the loading warp.
  static constexpr int threads = 2 * DO, allThreads = threads + 32;
  static constexpr int panels = DC / 64;
  using Layout = SweepLayout<DC, DO, kind, summary>;

  __device__ SweepFrame(const SweepCall& call, unsigned char* shared)
      : call(call), task(call.tasks[blockIdx.y]), shared(shared), base(sharedAddress(shared)) {
    tiles = freeTiles(call.contracted, call.free);
    tile = blockIdx.x % tiles;
    segment = blockIdx.x / tiles % call.numSegments;
    bh = blockIdx.x / tiles / call.numSegments;
    b = static_cast<int>(bh / call.H);
    h = static_cast<int>(bh % call.H);
    numChunks = static_cast<int>((call.T + chunkTokens - 1) / chunkTokens);
    keys = task.freeIsKey ? call.free : call.contracted;
  }

 protected:
  const SweepCall& call;
  const SweepTask& task;
  unsigned char* const shared;
  const uint32_t base;
  const Lane at;
  int tiles, tile, segment, b, h, numChunks, keys;
  int64_t bh;

  __device__ Tile<64> tileAt(int stage, int part, int panel) const {
    return {base + Layout::stages + stage * Layout::stage + part + panel * Layout::panel};
  }
  __device__ Tile<64> Z(int stage) const { return tileAt(stage, 0, at.warpgroup); }
  __device__ Tile<64> Y(int stage, int panel) const { return tileAt(stage, Layout::Y, panel); }
  __device__ Tile<64> X(int stage, int panel) const { return tileAt(stage, Layout::X, panel); }
  __device__ Tile<64> scores(int stage, int term) const { return tileAt(stage, Layout::scores, term); }
  __device__ uint32_t decays(int stage) const {
    return base + Layout::stages + stage * Layout::stage + Layout::decays;
  }
  __device__ int2* pieceOf(int stage) const {
    return reinterpret_cast<int2*>(shared + Layout::stages + stage * Layout::stage + Layout::piece);
  }
  /// The warpgroup's first free channel, and how many there are from it on.
  __device__ int ownChannel() const { return tile * DO + 64 * at.warpgroup; }
  __device__ int ownChannels() const { return call.free - ownChannel(); }
  __device__ int64_t chunkOf(const Piece& piece) const { return bh * numChunks + piece.chunk; }
  /// Where the present head's first token lies in `rows`.
  __device__ int64_t headOf(const SweepRows& rows) const {
    const int head = rows.heads == call.H ? h : h / (call.H / rows.heads);
    return (b * call.T * rows.heads + head) * rows.channels;
  }
  __device__ static int pitchOf(const SweepRows& rows) { return rows.heads * rows.channels; }

  __device__ uint4* keptOf(uint4* kept, int chunk) const {
    return kept + ((bh * numChunks + chunk) * tiles + tile) * (SweepState<DC>::keptUnits * threads) +
           threadIdx.x;
  }

  // Barriers 1 and 2 are the warpgroups' own.
  __device__ static int filled(int stage) { return 3 + stage; }
  __device__ static int emptied(int stage) { return 6 + stage; }
  __device__ int stageAfter(int stage) const { return stage + 1 == call.stages ? 0 : stage + 1; }
  __device__ int firstChunk() const { return segment * call.chunksPerSegment; }
  __device__ int endChunk() const { return min(firstChunk() + call.chunksPerSegment, numChunks); }
};

}  // namespace longscan
