#pragma once

#include "../sweep/sweep.h"
#include "cuda/bulk_copy.cuh"
#include "cuda/warpgroup_narrow.cuh"
#include "inside.cuh"

// A block of threads of the gradient of a diagonal decay: where it works, and what it reads.

namespace longscan {

constexpr int gradientThreads = 256;
/// Rows of a channel that a thread adds up.
constexpr int gradientRows = tileTokens * KB / gradientThreads;

/// Shared memory. When the values have been read, in their place for the queries' gradient and for the keys'
/// what products inside the chunk read, or sums of those by sub-chunks and dA; then what is handed to the
/// decay's gradient. Rows of dq and dk take the place of Q and K in the end.
struct GradientLayout {
  static constexpr int tile = Tile<64>::bytes, floats = FloatTile<64>::bytes;
  static constexpr int gates = 2 * tile;  // behind Q and K
  static constexpr int totals = gates + floats;
  static constexpr int behind = totals + 4 * gradientThreads;
  static constexpr int ends = behind + 4 * 4 * KB;
  // With a bonus, its channels and what each token gives itself.
  static constexpr int bonus = ends + 2 * 4 * KB, itself = bonus + 4 * KB;
  static constexpr int values = itself + 4 * tileTokens;
  static constexpr int stage = 4 * tile;  // 64 channels of dO and v, of S and D
  // dA in two terms; of queries and of keys the other operand in two terms, and in the same place what is
  // exchanged. Without products of whole chunks dA reaches further.
  static constexpr int terms = values, ofQueries = terms + 2 * tile, ofKeys = ofQueries + 3 * tile;
  static constexpr int scores = values, queriesExchanged = ofKeys - floats, keysExchanged = ofKeys;
  static_assert(values % 1024 == 0 && floats % 1024 == 0, "tiles are aligned to 1024 bytes");
  static_assert(queriesExchanged >= ofQueries && queriesExchanged >= scores + floats,
                "each in its own place");
  static_assert(keysExchanged + floats <= values + 2 * stage, "two stages leave room for all of it");
  static constexpr int arrivals = values + 2 * stage;

  /// With one stage there is no room for products of the whole chunk.
  static constexpr int bytes(int stages) {
    return stages == 2 ? arrivals + 3 * static_cast<int>(sizeof(ArrivalBarrier)) : keysExchanged + floats;
  }
};

/// A chunk of one head and KB of its key channels. Blocks that run at a time have all heads of some chunks:
/// they read whole rows of memory.
struct Block {
  int chunk, b;

  __device__ explicit Block(const DiagonalGradientCall& task) : b(0) {
    const DiagonalCall& call = task.call;
    chunk = task.firstChunk + blockIdx.z;
    if (call.B > 1) {
      const int numChunks = chunksOf(call);
      b = chunk / numChunks;
      chunk -= b * numChunks;
    }
  }
  __device__ static int h() { return blockIdx.y; }
  __device__ static int keyBlock() { return blockIdx.x; }
  __host__ __device__ static int chunksOf(const DiagonalCall& call) {
    return static_cast<int>((call.T + tileTokens - 1) / tileTokens);
  }
  /// The same, as far as the compiler knows another: it is not to keep what follows from it in registers.
  __device__ Block anew() const {
    Block block = *this;
    asm volatile("" : "+r"(block.chunk));
    return block;
  }
  __device__ int64_t first() const { return static_cast<int64_t>(chunk) * tileTokens; }
  __device__ int length(const DiagonalCall& call) const {
    return static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first()));
  }
  __device__ int channel() const { return keyBlock() * KB; }
  /// The chunk's number among those of all heads.
  __device__ int64_t imageOf(const DiagonalCall& call) const {
    return (static_cast<int64_t>(b) * call.H + h()) * chunksOf(call) + chunk;
  }
  /// Of the heads that share queries and keys.
  __device__ int group(const DiagonalCall& call) const {
    return call.G == call.H ? h() : h() / (call.H / call.G);
  }
  /// Where row 0 of [B, T, H, K] has the block's first channel, of q and k the head's, of v or dO, too.
  __device__ int64_t place(const DiagonalCall& call) const {
    return ((b * call.T + first()) * call.H + h()) * call.K + channel();
  }
  __device__ int64_t sharedPlace(const DiagonalCall& call) const {
    return ((b * call.T + first()) * call.G + group(call)) * call.K;
  }
  __device__ int64_t valuePlace(const DiagonalCall& call) const {
    return ((b * call.T + first()) * call.H + h()) * call.V;
  }
};

/// A warpgroup's sums: rows of tokens, the block's key channels of the gradient of queries or of keys.
struct GradientPlace {
  int lane, warp, row0, group, pairOf;
  int half;  // of the columns of dA
  bool ofQuery;

  __device__ GradientPlace()
      : lane(threadIdx.x & 31),
        warp(threadIdx.x >> 5 & 3),
        row0(subChunk * warp),
        group(lane >> 2),
        pairOf(2 * (lane & 3)),
        half(warpgroupNumber()),
        ofQuery(warpgroupNumber() == 0) {}
  __device__ int row(int h) const { return row0 + group + 8 * h; }
  __device__ int column(int n) const { return 8 * n + pairOf; }
  /// The same, as far as the compiler knows another: it is not to keep addresses from before, for which there
  /// are no registers.
  __device__ GradientPlace anew() const {
    GradientPlace place = *this;
    asm volatile("" : "+r"(place.group), "+r"(place.warp));
    return place;
  }
  /// Waits for the others with the same gradient.
  __device__ void joinSide() const { joinBarrier(ofQuery ? 1 : 2, gradientThreads / 2); }
  /// Of dA.
  __device__ int keyOf(int n) const { return 32 * half + 8 * n + pairOf; }
};

}  // namespace longscan
