#pragma once

#include "diagonal.cuh"

// Scores of a chunk's queries with its keys, where keys cannot be scaled up to the chunk's start.

namespace longscan {

/// Of a warp: rows row0 + group + 8 h, columns 16 n + 8 part + pairOf + {0, 1}, [n][2 h + i].
using OwnScores = float[4][4];

/// Scores of some tokens, by sub-chunks of 16 tokens: products of queries decayed since the
/// sub-chunk's start and keys decayed up to it, or scaled up from it, in tf32; and pair by pair in f32 those
/// inside a sub-chunk of tokens that are too steep for that. Channels come by 64: first `look`s at all of
/// them, then `add`s all.
template <bool bonus>
class SteepScores {
  static constexpr int width = 64;
  uint64_t starts;
  int row0, part, lane, group, pairOf;
  unsigned steep = 0;
  OwnScores products = {};
  float pairs[4] = {};  // of the own sub-chunk

 public:
  __device__ SteepScores(uint64_t starts, int row0, int part, int lane)
      : starts(starts), row0(row0), part(part), lane(lane), group(lane >> 2), pairOf(2 * (lane & 3)) {}

  __device__ void look(FloatTile<width> c) { steep |= steepTokens(c, starts, row0, lane); }

  __device__ void add(Tile<width> Q, Tile<width> K, FloatTile<width> c) {
    addProducts(Q, K, c);
    if (steep != 0) addPairs(Q, K, c);
  }

  /// Those of the tokens in `replaced`.
  __device__ void replace(OwnScores& scores, uint64_t replaced, float scale) const {
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int inside = group + 8 * (i / 2);
        const bool isPair = 16 * n == row0 && (steep >> inside & 1);
        if (replaced >> (row0 + inside) & 1) scores[n][i] = scale * (isPair ? pairs[i] : products[n][i]);
      }
  }

 private:
  __device__ void addProducts(Tile<width> Q, Tile<width> K, FloatTile<width> c) {
    const int before = row0 - 1;
    const bool continues = goesOn(starts, row0);
    bool usesKey[4];
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const int key = 16 * n + 8 * part + group;
      usesKey[n] = key < row0 ? sameDocument(starts, key, before) : !(steep >> (key - row0) & 1);
    }
#pragma unroll 1
    for (int k = 0; k < width / 8; k++) {
      const int column = 8 * k + pairOf;
      const float2 start = continues ? c.pairAt(before, column) : make_float2(0.0f, 0.0f);
      uint32_t a[4];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int row = row0 + group + 8 * i;
        const float2 q = loadPair(Q, row, column), here = readPairAt<bonus>(c, starts, row, column);
        a[i] = roundToTf32(q.x * exp2Decay(here.x - start.x));
        a[i + 2] = roundToTf32(q.y * exp2Decay(here.y - start.y));
      }
#pragma unroll
      for (int n = 0; n < 4; n++) {
        if (16 * n > row0) break;
        const int row = 16 * n + 8 * part + group;
        const float2 key = loadPair(K, row, column), here = c.pairAt(row, column);
        const uint32_t near = usesKey[n] ? roundToTf32(key.x * exp2Decay(start.x - here.x)) : 0;
        const uint32_t far = usesKey[n] ? roundToTf32(key.y * exp2Decay(start.y - here.y)) : 0;
        mmaTf32(products[n], a, near, far);
      }
    }
  }

  __device__ void addPairs(Tile<width> Q, Tile<width> K, FloatTile<width> c) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = row0 + group + 8 * (i / 2), column = row0 + 8 * part + pairOf + i % 2;
      if (column > row || (bonus && column == row) || !sameDocument(starts, column, row)) continue;
#pragma unroll 1
      for (int channel = 0; channel < width; channel += 2) {
        const float2 q = loadPair(Q, row, channel), k = loadPair(K, column, channel);
        const float2 here = readPairAt<bonus>(c, starts, row, channel), there = c.pairAt(column, channel);
        pairs[i] += q.x * k.x * exp2Decay(here.x - there.x) + q.y * k.y * exp2Decay(here.y - there.y);
      }
    }
  }
};

}  // namespace longscan
