#pragma once

#include "../chunkwise/inverse.cuh"
#include "cuda/pieces.cuh"
#include "stages.h"
#include "tiles.cuh"

namespace longscan {

constexpr int dplrPrepareThreads = 256;

struct DplrPrepareCall {
  LongscanDplr slice;
  DplrKept<__nv_bfloat16> to;
  int64_t numChunks;
  int valueTiles;
};

/// Shared memory of a block that prepares a chunk.
template <int K>
struct DplrPrepareShared {
  /// Two pairs of numbers of four neighbouring rows lie in different banks.
  static constexpr int pitch = K + 8;
  static constexpr int queries = 0, keys = Tile<K>::bytes, eraseKeys = 2 * Tile<K>::bytes,
                       extraKeys = 3 * Tile<K>::bytes, values = 4 * Tile<K>::bytes,
                       square = values + Tile<64>::bytes, inverse = square + SplitSquare::bytes,
                       keyMeets = inverse + Tile<64>::bytes, keyScores = keyMeets + Tile<64>::bytes,
                       extraScores = keyScores + Tile<64>::bytes, diagonal = extraScores + Tile<64>::bytes,
                       sums = diagonal + 4 * DiagonalBlock::bytes, totals = sums + tileTokens * pitch * 4,
                       beta = totals + 4 * K * 4, bytes = beta + tileTokens * 4 + 128;
};

/// A chunk of a head, piece by piece: what its threads share.
template <int K>
struct DplrPrepareBlock {
  using Half = __nv_bfloat16;
  using Shared = DplrPrepareShared<K>;
  const DplrPrepareCall& call;
  const DplrPlace place;
  uint8_t* const memory;
  const uint32_t base;
  const int thread, warp, lane;
  Piece piece;

  __device__ DplrPrepareBlock(const DplrPrepareCall& call, uint8_t* memory)
      : call(call),
        place(blockIdx.x, call.numChunks, call.slice.H),
        memory(memory),
        base(sharedAddress(memory)),
        thread(static_cast<int>(threadIdx.x)),
        warp(__shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0)),
        lane(static_cast<int>(threadIdx.x) % 32) {}

  __device__ Tile<K> wide(int at) const { return {base + at}; }
  __device__ Tile<64> narrow(int at) const { return {base + at}; }
  __device__ float* floats(int at) const { return reinterpret_cast<float*>(memory + at); }

  /// The sum of log2 a from the piece's start up to and with a row; before it there is none.
  __device__ const float* sumsOf(int row) const { return floats(Shared::sums) + row * Shared::pitch; }

  __device__ int64_t ofHead() const { return place.batch * call.slice.T * call.slice.H + place.head; }
  /// Whether the state before the chunk reaches the piece, and the piece the state behind it.
  __device__ bool isReached() const { return piece.opensChunk && !piece.fresh; }
  __device__ bool reaches() const { return piece.closesChunk; }
  /// Rows that are the piece's to store: what is behind the last token are zeros.
  __device__ int high() const { return piece.closesChunk ? tileTokens : piece.high; }

  /// Rows of the piece of q, k, b, e and the first values, zeros beside them.
  __device__ void fill() const {
    const LongscanDplr& slice = call.slice;
    const TileRows rows{place.first, piece.low, piece.high, false};
    const auto fill = [&](int to, const void* from) {
      fillTile<K, dplrPrepareThreads>(wide(to), static_cast<const Half*>(from) + ofHead() * slice.K,
                                      slice.H * slice.K, 0, slice.K, rows);
    };
    fill(Shared::queries, slice.q);
    fill(Shared::keys, slice.k);
    fill(Shared::eraseKeys, slice.b);
    if (slice.e != nullptr) fill(Shared::extraKeys, slice.e);
    fillValues(0);
    if (thread < tileTokens) {
      const bool isThere = thread >= piece.low && thread < piece.high;
      floats(Shared::beta)[thread] =
          isThere && slice.beta != nullptr ? slice.beta[ofHead() + (place.first + thread) * slice.H] : 1.0f;
    }
  }

  __device__ void fillValues(int tile) const {
    const int V = call.slice.V;
    fillTile<64, dplrPrepareThreads>(narrow(Shared::values),
                                     static_cast<const Half*>(call.slice.v) + ofHead() * V, call.slice.H * V,
                                     64 * tile, V, {place.first, piece.low, piece.high, false});
  }

  /// Sums of gates: a warp has 16 rows of half of the channels. Returns after a barrier of the block.
  __device__ void sumGates() const {
    constexpr int each = K / 64;
    constexpr float log2OfE = 1.4426950408889634f;
    const LongscanDplr& slice = call.slice;
    const int own = warp % 4, channel = warp / 4 * (K / 2) + lane * each;
    float sum[16][each];
#pragma unroll
    for (int i = 0; i < 16; i++) {
      const int row = 16 * own + i;
      const int64_t token = ofHead() + (place.first + row) * slice.H;
      const bool isThere = slice.g != nullptr && row >= piece.low && row < piece.high;
#pragma unroll
      for (int j = 0; j < each; j++) {
        sum[i][j] = 0.0f;
        if (!isThere || channel + j >= slice.K) continue;
        sum[i][j] = slice.hasGateOfChannels ? slice.g[token * slice.K + channel + j] : slice.g[token];
      }
    }
    float* const totals = floats(Shared::totals) + channel;
#pragma unroll
    for (int j = 0; j < each; j++) {
#pragma unroll
      for (int i = 0; i < 16; i++) sum[i][j] = sum[i][j] * log2OfE + (i > 0 ? sum[i - 1][j] : 0.0f);
      totals[own * K + j] = sum[15][j];
    }
    waitForCopies<0>();
    __syncthreads();
    float* const to = floats(Shared::sums) + 16 * own * Shared::pitch + channel;
#pragma unroll
    for (int j = 0; j < each; j++) {
      float before = 0.0f;
      for (int earlier = 0; earlier < own; earlier++) before += totals[earlier * K + j];
#pragma unroll
      for (int i = 0; i < 16; i++) to[i * Shared::pitch + j] = before + sum[i][j];
    }
    __syncthreads();
  }

  /// A warp's rows [row0, row0 + 16) of a square to memory.
  __device__ void storeSquare(Half* to, int from, int row0) const {
    storeRowsOfWarp(to + place.number * tileTokens * tileTokens, narrow(from), row0, lane, piece.low, high());
  }
};

}  // namespace longscan
