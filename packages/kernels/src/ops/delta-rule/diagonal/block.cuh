#pragma once

#include "cuda/dependent.cuh"
#include "diagonal.cuh"
#include "gradient.h"

namespace longscan {

namespace {

using KeyPanel = FloatPanel<68>;

/// Numbers in two bf16 terms, which together have 16 bits.
struct SplitTile {
  static constexpr int bytes = 2 * Tile<64>::bytes;
  Tile<64> high, low;

  __device__ void storeFour(int row, int column, const float (&x)[4]) const {
    const uint2 rounded = packFour(x);
    const float rest[4] = {x[0] - lowHalf(rounded.x), x[1] - highHalf(rounded.x), x[2] - lowHalf(rounded.y),
                           x[3] - highHalf(rounded.y)};
    storeShared(high, row, column, rounded);
    storeShared(low, row, column, packFour(rest));
  }
};

/// 64 channels of V at a time: two stages of what is per token, one of the states. Decayed tokens and the
/// gradients of scores take their place afterwards, and then what dg is a sum of.
struct DiagonalGradientLayout {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int states = 0;  // S, D
  static constexpr int tokens = 2 * panel;
  static constexpr int tokensBytes = 3 * panel;  // dO, dv, N

  // Of a mild chunk.
  static constexpr int scoreWeights = 0;
  static constexpr int productWeights = panel;
  static constexpr int backKeys = 2 * panel;
  static constexpr int onQueries = backKeys + SplitTile::bytes;
  static constexpr int onKeys = onQueries + SplitTile::bytes;

  // Of one that is taken by sub-chunks.
  static constexpr int endKeys = 0;
  static constexpr int intoQueries = endKeys + KeyPanel::bytes;
  static constexpr int intoKeys = intoQueries + KeyPanel::bytes;
  static constexpr int weights = intoKeys + KeyPanel::bytes;

  static constexpr int writeGradients = 0;
  static constexpr int changes = PairPanel::bytes;
  static constexpr int quarters = changes + PairPanel::bytes;

  static constexpr int queries = weights + KeyPanel::bytes;
  static constexpr int keys = queries + panel;
  static constexpr int gates = keys + panel;
  static constexpr int subs = gates + PairPanel::bytes;
  static constexpr int products = subs + SubDecays::bytes;  // shares of the four warps
  static constexpr int behind = products + 4 * 64 * 4;
  static constexpr int gamma = behind + 4 * 64 * 4;
  static constexpr int beta = gamma + 64 * 4;
  static constexpr int bytes = beta + 64 * 4;
  static_assert(tokens + 2 * tokensBytes <= queries, "stages lie where decayed tokens will");
  static_assert(onKeys + SplitTile::bytes <= queries, "of either kind of chunk");
  static_assert(queries % 1024 == 0, "tiles");
};

/// What a block does at a time: a chunk of a head, 64 channels of K.
struct DiagonalGradientTask {
  int chunk, channel, bh;
};

/// Where things are in a block. A warp has one sub-chunk's rows.
struct DiagonalGradientBlock {
  using Layout = DiagonalGradientLayout;

  const DeltaDiagonalGradientCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const DeltaLane at;
  const int row0, chunk, channel, bh, b, h;
  const Tile<64> Q, K;

  __device__ DiagonalGradientBlock(const DeltaDiagonalGradientCall& call, unsigned char* shared,
                                   const DiagonalGradientTask& task)
      : call(call),
        shared(shared),
        base(sharedAddress(shared)),
        row0(subTokens * (at.warp % 4)),
        chunk(task.chunk),
        channel(task.channel),
        bh(task.bh),
        b(bh / call.H),
        h(bh % call.H),
        Q{base + Layout::queries},
        K{base + Layout::keys} {}

  __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
  __device__ Tile<64> tile(int offset) const { return {base + offset}; }
  __device__ PairPanel c() const { return {floats(Layout::gates)}; }
  __device__ SubDecays subs() const { return {floats(Layout::subs)}; }
  __device__ SplitTile split(int offset) const { return {tile(offset), tile(offset + Layout::panel)}; }

  // What a document's first token meets is nothing; what lies behind a piece that ends its chunk is D.
  __device__ static bool meetsState(const Piece& piece) { return !piece.fresh; }
  __device__ static bool meetsAdjoint(const Piece& piece) { return piece.closesChunk; }
  __device__ TileRows rowsOf(const Piece& piece) const {
    return {static_cast<int64_t>(chunk) * tileTokens, piece.low, piece.high, false};
  }
  /// The warp's sub-chunk.
  __device__ int sub() const { return at.warp % 4; }
  __device__ float betaOf(int row) const { return floats(Layout::beta)[row]; }

  /// Of the chunk among all heads' chunks.
  __device__ int64_t index() const { return bh * ((call.T + tileTokens - 1) / tileTokens) + chunk; }

  /// A thread's channels 8 n + pairOf and the next of a row in shared memory.
  __device__ float2 pairOf(const float* row, int n) const {
    return *reinterpret_cast<const float2*>(row + 8 * n + at.pairOf);
  }
  __device__ float2 pairOf(Tile<64> tile, int row, int n) const {
    const uint32_t both = loadShared(tile.address(row, n) + 2 * at.pairOf);
    return make_float2(lowHalf(both), highHalf(both));
  }

  /// Of the row of places [n][j] of a thread's sums.
  __device__ float2 ownPairOf(Tile<64> tile, int n, int j) const {
    const uint32_t first = tile.address(row0 + at.group, 0) + 2 * at.pairOf;
    const uint32_t both = loadShared((first ^ n << 4) + 4 * j * Tile<64>::pitch);
    return make_float2(lowHalf(both), highHalf(both));
  }

  /// visit(row, n, j, c) for the places [n][j] and [n][j + 1] of a thread's sums.
  template <typename Visit>
  __device__ void eachPair(Visit&& visit) const {
    const float* const sums = &c().at(row0 + at.group, 0);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int j = 0; j < 4; j += 2)
        visit(row0 + at.group + 4 * j, n, j, pairOf(sums + 4 * j * PairPanel::pitch, n));
  }

  /// Each column times factorOf(n), a thread's pair.
  template <typename FactorOf>
  __device__ static void scaleColumns(Sums& sum, FactorOf&& factorOf) {
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float2 f = factorOf(n);
#pragma unroll
      for (int j = 0; j < 4; j++) sum[n][j] *= j % 2 ? f.y : f.x;
    }
  }
};

}  // namespace

}  // namespace longscan
