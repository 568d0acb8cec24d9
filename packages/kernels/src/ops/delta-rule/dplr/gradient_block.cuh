#pragma once

#include "../chunkwise/lane.cuh"
#include "backward.h"
#include "chunk.cuh"
#include "cuda/warpgroup.cuh"

namespace longscan {

/// Kinds of calls: `ofHead`: the gate, if there is one, is per head; `own`: e = -beta k.
template <int keySize, bool gateOfHead, bool eraseOwn>
struct DplrGradientKind {
  static constexpr int keys = keySize, panels = keys / 64, warps = keys / 16, threads = 32 * warps;
  static constexpr bool ofHead = gateOfHead, own = eraseOwn;
  static constexpr int writes = own ? 1 : 2;
};

template <typename Kind>
struct DplrGradientLayout {
  static constexpr int tile = Tile<64>::bytes, panel = tile * Kind::panels;
  static constexpr int numScores = 2 * Kind::writes, numTokens = Kind::own ? 3 : 4;
  // dO, Z, V, X and S of 64 values; once dO and Z have been read, D in their place
  static constexpr int reads = 0, z = tile, v = 2 * tile, x = 3 * tile, state = 4 * tile, adjoint = reads;
  static_assert(panel <= 2 * tile, "D has room");
  // dPk, dAk, dPe, dAe, and what their squares above the diagonal have no room for; behind them, in the first
  // one's place, what warps add up
  static constexpr int scores = state + panel, lows = scores + numScores * tile, shares = scores;
  // q, b, k, e
  static constexpr int tokens = lows + tile;
  static constexpr int beta = tokens + numTokens * panel, sums = beta + 256, before = sums + 256;
  static constexpr int bytes = before + 256;
};

/// What a block knows of a chunk, and how its parts come to shared memory.
template <typename Kind>
class DplrGradientBlock {
 protected:
  using Bf16 = __nv_bfloat16;
  using Layout = DplrGradientLayout<Kind>;
  static constexpr int keys = Kind::keys, threads = Kind::threads;
  enum Token { query, eraser, key, extra };  // two that read, two that are written
  enum Score { readKey, eraseKey, readExtra, eraseExtra };
  /// What is made of 64 values: with dO and Z, or with D.
  enum Part { ofReads, ofWrites };

  const DplrGradientCall& call;
  const LongscanDplr& slice;
  const DplrChunk chunk;
  const uint32_t base;
  const int lane, warp, valueTiles;
  int group, pair;  // of a thread's part of sums: row (and row + 8), column (and column + 1)
  Part part;        // and tile of values that is in shared memory
  int loaded;
  Piece piece;
  bool meetsState, meetsAdjoint;

  __device__ DplrGradientBlock(const DplrGradientCall& call, unsigned char* shared)
      : call(call),
        slice(call.slice),
        chunk(call.slice, blockIdx.x),
        base(sharedAddress(shared)),
        lane(threadIdx.x & 31),
        warp(__shfl_sync(~0u, static_cast<int>(threadIdx.x >> 5), 0)),
        valueTiles((call.slice.V + dplrValues - 1) / dplrValues),
        group(lane / 4),
        pair(lane % 4 * 2) {}

  __device__ Tile<64> tokens(int which, int panel) const {
    return {base + Layout::tokens + which * Layout::panel + panel * Layout::tile};
  }
  __device__ Tile<64> scores(int which) const { return {base + Layout::scores + which * Layout::tile}; }
  __device__ Tile<64> lows() const { return {base + Layout::lows}; }
  __device__ Tile<64> reads() const { return {base + Layout::reads}; }
  __device__ Tile<64> z() const { return {base + Layout::z}; }
  __device__ Tile<64> v() const { return {base + Layout::v}; }
  __device__ Tile<64> x() const { return {base + Layout::x}; }
  __device__ Tile<keys> state() const { return {base + Layout::state}; }
  __device__ Tile<keys> adjoint() const { return {base + Layout::adjoint}; }

  __device__ bool has(int row) const { return row >= piece.low && row < piece.high; }
  __device__ int64_t rowOf(int row) const { return (chunk.firstToken + row) * slice.H + chunk.head; }

  __device__ void begin(const Piece& next) {
    piece = next;
    meetsState = piece.low == 0 && !piece.fresh;
    meetsAdjoint = piece.closesChunk;
    part = ofReads;
    loaded = 0;
  }

  /// Starts to load the piece's q, b, k and e, and beta.
  __device__ void loadTokens() const {
    const Bf16* const from[] = {bf16(slice.q), bf16(slice.b), bf16(slice.k), bf16(slice.e)};
    const int thread = threadIdx.x;
#pragma unroll
    for (int which = 0; which < Layout::numTokens; which++) {
#pragma unroll
      for (int i = 0; i < 64 * keys / 8; i += threads) {
        const int row = (i + thread) / (keys / 8), unit = (i + thread) % (keys / 8);
        copyAsync16(tokens(which, unit / 8).address(row, unit % 8),
                    from[which] + rowOf(row) * slice.K + 8 * unit, has(row) && 8 * unit < slice.K);
      }
    }
    commitCopies();
    if (thread < 64) {
      const float beta = !has(thread) ? 0.0f : slice.beta ? slice.beta[rowOf(thread)] : 1.0f;
      storeShared(base + Layout::beta + 4 * thread, beta);
    }
  }

  /// Starts to load what belongs to 64 values.
  __device__ void startValues(Part next, int tile) const {
    const int thread = threadIdx.x;
    const int64_t number = chunk.number * valueTiles + tile;
#pragma unroll
    for (int i = 0; i < 64 * 8; i += threads) {
      const int row = (i + thread) / 8, unit = (i + thread) % 8, column = dplrValues * tile + 8 * unit;
      const bool there = has(row) && column < slice.V;
      const int64_t place = rowOf(row) * slice.V + column;
      if (next == ofReads) copyAsync16(reads().address(row, unit), bf16(call.io.dO) + place, there);
      copyAsync16(v().address(row, unit), bf16(slice.v) + place, there);
    }
    if (next == ofReads)
      copyTile<64, threads>(z(), call.memory.z + number * 64 * 64, thread, piece.low, piece.high);
    copyTile<64, threads>(x(), call.kept.x + number * 64 * 64, thread, piece.low, piece.high);
    if (meetsState) copyTile<keys, threads>(state(), call.kept.states + number * 64 * keys, thread);
    if (next == ofWrites) startAdjoint(tile);
    commitCopies();
  }

  /// All threads together, when dO and Z have been read: starts to load D, and what else `ofWrites` has of
  /// the first tile.
  __device__ void turnToWrites() {
    __syncthreads();
    if (loaded == 0) {
      startAdjoint(0);
      commitCopies();
    } else {
      startValues(ofWrites, 0);
    }
    part = ofWrites;
    loaded = 0;
  }

  /// All threads together: that tile of values is there. A piece begins with the first one of `ofReads`.
  __device__ void needValues(int tile) {
    if (loaded == tile) return;
    __syncthreads();
    startValues(part, tile);
    loaded = tile;
    waitForCopies<0>();
    __syncthreads();
  }

  __device__ float betaOf(int row) const {
    return loadSharedFloat(base + Layout::beta + 4 * row);
  }

  static __device__ const Bf16* bf16(const void* from) {
    return static_cast<const Bf16*>(from);
  }

 private:
  __device__ void startAdjoint(int tile) const {
    const int64_t number = chunk.number * valueTiles + tile;
    if (meetsAdjoint)
      copyTile<keys, threads>(adjoint(), call.memory.adjoints + number * 64 * keys, threadIdx.x);
  }
};

/// Of v[n][j], which 8 lanes of each `lane % 4` add up, the sums of n = lane / 4, in v[0].
__device__ inline void sumOverGroups(float (&v)[8][2], int lane) {
#pragma unroll
  for (int half = 4; half > 0; half /= 2) {
    const bool upper = lane / 4 & half;
#pragma unroll
    for (int n = 0; n < half; n++) {
#pragma unroll
      for (int j = 0; j < 2; j++) {
        const float mine = upper ? v[n + half][j] : v[n][j], other = upper ? v[n][j] : v[n + half][j];
        v[n][j] = mine + __shfl_xor_sync(~0u, other, 4 * half);
      }
    }
  }
}

}  // namespace longscan
