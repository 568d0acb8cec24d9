#pragma once

#include <cstdint>

#include "cuda/on_both.h"
#include "cuda/workspace_parts.h"
#include "dplr.h"

// What the forward pass leaves for the backward pass. A chunk has 64 tokens, the last one fewer, whose other
// rows are zeros. Matrices of a chunk lie as Tile<64> or Tile<128> (cuda/tile.cuh) has them in shared memory,
// so that a run of bytes is one: K and V are filled up with zeros to `keys` and to whole tiles of 64.
//
// A state reaches the rows up to the chunk's first document start, and is reached by the rows from the last
// one on. Rows of Qe and W behind the former, of Kd and Ed before the latter, are zeros, and so is gamma
// where there is one; the four squares are zero where a row and a column are of different documents. Whoever
// multiplies such a zero by what may be no number (rows of V, X, dO, a state of another document) has to
// leave it out.

namespace longscan {

constexpr int dplrChunkTokens = 64;
/// Columns of V that a block has the state of.
constexpr int dplrValues = 64;

constexpr int64_t numDplrChunks(int64_t T) {
  return (T + dplrChunkTokens - 1) / dplrChunkTokens;
}

/// The sizes of tiles. A chunk's number is (batch * numChunks + chunk) * H + head.
struct DplrSizes {
  int64_t numChunks;  // of a batch row
  int64_t count;      // of all
  int keys;           // 64 or 128
  int valueTiles;

  explicit DplrSizes(const LongscanDplr& call)
      : numChunks(numDplrChunks(call.T)),
        count(call.B * numChunks * call.H),
        keys(call.K <= 64 ? 64 : 128),
        valueTiles((call.V + dplrValues - 1) / dplrValues) {}
};

/// `Half`: bf16.
template <typename Half>
struct DplrKept {
  WorkspaceParts arena;
  // [chunk, 64 tokens, keys]
  Half* queries;    // Qe = scale q e^c
  Half* w;          // W = Y (b e^(c before))
  Half* writeKeys;  // Kd = beta k e^(c_C - c)
  Half* extraKeys;  // Ed = e e^(c_C - c)
  // [chunk, 64 tokens, 64 tokens]
  Half* keyScores;    // Pk
  Half* extraScores;  // Pe
  Half* inverse;      // Y
  Half* keyMeets;     // Ak
  Half* x;            // X, [chunk, valueTiles, 64 tokens, 64]; U = Y Ak V before the chain
  Half* states;       // S^T before the chunk, [chunk, valueTiles, 64, keys]; (Kd^T V)^T before the chain
  float* gamma;       // e^(c_C), [chunk, keys]; zero where the chunk has a document start

  DplrKept(const LongscanDplr& call, const void* base) : arena(const_cast<void*>(base)) {
    const DplrSizes sizes(call);
    const int64_t rows = sizes.count * dplrChunkTokens;
    queries = arena.take<Half>(rows * sizes.keys);
    w = arena.take<Half>(rows * sizes.keys);
    writeKeys = arena.take<Half>(rows * sizes.keys);
    extraKeys = arena.take<Half>(rows * sizes.keys);
    keyScores = arena.take<Half>(rows * dplrChunkTokens);
    extraScores = arena.take<Half>(rows * dplrChunkTokens);
    inverse = arena.take<Half>(rows * dplrChunkTokens);
    keyMeets = arena.take<Half>(rows * dplrChunkTokens);
    x = arena.take<Half>(rows * sizes.valueTiles * dplrValues);
    states = arena.take<Half>(sizes.count * sizes.valueTiles * dplrValues * sizes.keys);
    gamma = arena.take<float>(sizes.count * sizes.keys);
  }
};

}  // namespace longscan
