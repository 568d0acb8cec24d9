#pragma once

#include "../sweep/bulk.cuh"
#include "../sweep/layout.cuh"
#include "cuda/tensor_map.h"

namespace longscan {

/// What a summary reads of a slice whose chunks are prepared, and where the segments' effects go.
struct DeltaSummaryCall {
  int64_t B, T;
  int H, K, V;
  const __nv_bfloat16* keys;  // [B, T, H, K], as they are written
  const int32_t* resets;      // [B, T] or null
  DeltaChunks chunks;
  int segmentChunks, numSegments;
  float* states;    // E, [segments, B, H, V, K]
  float* factors;   // M^T, [segments, B, H, K, K]
  int32_t* starts;  // [segments, B, H]: whether a document starts in the segment
};

/// Boxes of 64 tokens and 64 columns; what lies outside of a tensor becomes zeros.
struct SummaryMaps {
  CUtensorMap keys, w, values;
};

/// `summaryGroups` warpgroups with columns, and one that loads for them.
constexpr int summaryThreads = 128 * (summaryGroups + 1);

/// A block's shared memory: barriers, then a ring of stages, each with all that a piece needs.
template <int KN>
struct SummaryLayout {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int w = 0;
  static constexpr int keys = w + KN * panel;
  static constexpr int values = keys + KN * panel;
  static constexpr int factors = values + summaryGroups * panel;
  static constexpr int gamma = factors + 2 * 64 * 4;
  static constexpr int record = gamma + KN * 64 * 4;
  static constexpr int stage = (record + 16 + 1023) / 1024 * 1024;

  static constexpr int fixed = 1024, maxStages = 4;
  static constexpr int stagesIn(int sharedBytes) {
    const int fit = (sharedBytes - fixed) / stage;
    return fit < maxStages ? fit : maxStages;
  }
};

/// What the parts of a block have in common: whose block it is and where its memory lies.
template <int KN>
class SummaryBlock {
 public:
  using Layout = SummaryLayout<KN>;

  const DeltaSummaryCall& call;
  const SummaryMaps& maps;
  const int stages;
  unsigned char* const shared;
  const uint32_t base;
  int firstTile;  // of the block's
  int segment, firstChunk, endChunk;
  int b, h, numChunks;
  int64_t bh;

  __device__ SummaryBlock(const DeltaSummaryCall& call, const SummaryMaps& maps, int stages,
                          unsigned char* shared)
      : call(call),
        maps(maps),
        stages(stages),
        shared(shared),
        base(sharedAddress(shared)),
        numChunks(static_cast<int>((call.T + tileTokens - 1) / tileTokens)) {
    const int blocks = summaryBlocksOfHead(call.K, call.V);
    firstTile = static_cast<int>(blockIdx.x) % blocks * summaryGroups;
    segment = static_cast<int>(blockIdx.x) / blocks % call.numSegments;
    bh = blockIdx.x / (blocks * call.numSegments);
    firstChunk = segment * call.segmentChunks;
    endChunk = min(firstChunk + call.segmentChunks, numChunks);
    b = static_cast<int>(bh / call.H);
    h = static_cast<int>(bh % call.H);
  }

  /// How many warpgroups have columns.
  __device__ int groups() const {
    return min(summaryGroups, summaryTiles(call.K) + summaryTiles(call.V) - firstTile);
  }
  __device__ bool isFactor(int tile) const { return tile >= summaryTiles(call.V); }

  /// The copy engine takes whole chunks; of others, warps copy the piece's rows and zeros.
  __device__ static bool isWhole(const Piece& piece) { return piece.low == 0 && piece.high == tileTokens; }
  /// What warps have copied of a piece, the calling thread's products are to see.
  __device__ static void seeCopies(const Piece& piece) {
    if (!isWhole(piece)) publishToProducts();
  }

  /// By the four loading warps; by the warps that have columns.
  __device__ SweepBarrier full(int stage) const { return barrier(stage); }
  __device__ SweepBarrier free(int stage) const { return barrier(Layout::maxStages + stage); }
  /// One thread; then all threads of the block meet.
  __device__ void initBarriers() const {
    for (int i = 0; i < stages; i++) {
      full(i).init(4);
      free(i).init(4 * groups() * arrivalsOfWarp);
    }
    publishBarriers();
  }

  /// Factors of channels that are not there, which are multiplied all the same: no copy makes others of them.
  /// All threads, before they meet.
  __device__ void clearAbsentDecays() const {
    for (int i = threadIdx.x; i < stages * 64 * KN; i += summaryThreads)
      if (const int channel = i % (64 * KN); channel >= call.K)
        storeShared(stage(i / (64 * KN)) + Layout::gamma + 4 * channel, 0.0f);
  }

  __device__ uint32_t stage(int stage) const { return base + stageOffset(stage); }
  __device__ Tile<64> w(int stage, int panel) const {
    return {this->stage(stage) + Layout::w + panel * Layout::panel};
  }
  __device__ Tile<64> keys(int stage, int panel) const {
    return {this->stage(stage) + Layout::keys + panel * Layout::panel};
  }
  __device__ Tile<64> values(int stage, int group) const {
    return {this->stage(stage) + Layout::values + group * Layout::panel};
  }
  __device__ const float* into(int stage) const { return floats(stageOffset(stage) + Layout::factors); }
  __device__ const float* outOf(int stage) const { return into(stage) + 64; }
  __device__ const float* gamma(int stage) const { return floats(stageOffset(stage) + Layout::gamma); }
  __device__ int2* record(int stage) const {
    return reinterpret_cast<int2*>(shared + stageOffset(stage) + Layout::record);
  }
  __device__ SweepPiece piece(int stage) const { return SweepPiece::unpack(*record(stage)); }

 private:
  __device__ SweepBarrier barrier(int i) const { return {base + i * SweepBarrier::bytes}; }
  __device__ int stageOffset(int stage) const { return Layout::fixed + stage * Layout::stage; }
  __device__ const float* floats(int offset) const { return reinterpret_cast<const float*>(shared + offset); }
};

}  // namespace longscan
