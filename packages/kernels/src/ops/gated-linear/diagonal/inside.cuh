#pragma once

#include "cuda/warpgroup_narrow.cuh"
#include "diagonal.cuh"

// What tokens of one chunk give each other's gradients.

namespace longscan {

/// A block of threads has one chunk and KB key channels: a warpgroup for the gradient of queries, another for
/// that of keys. A warp has 16 tokens.
constexpr int KB = 64;
using Gates = FloatTile<KB>;

/// Of a warp and 16 channels: rows row0 + group + 8 h, columns column0 + 8 n + pairOf + {0, 1} of KB; as
/// products leave them, [n][2 h + i].
constexpr int warpTiles = 2;
using WarpSums = float[warpTiles][4];

struct WarpPlace {
  int lane, row0, column0, group, pairOf;

  __device__ explicit WarpPlace(int block)
      : lane(threadIdx.x & 31),
        row0(subChunk * (threadIdx.x >> 5 & 3)),
        column0(16 * block),
        group(lane >> 2),
        pairOf(2 * (lane & 3)) {}
  __device__ int row(int h) const { return row0 + group + 8 * h; }
  __device__ int column(int n) const { return column0 + 8 * n + pairOf; }
};

/// The tiles of a block.
struct ChunkTiles {
  Tile<KB> Q, K;
  Gates c;
  FloatTile<64> dA;
  uint64_t starts;
  int length;
};

/// The same, and what queries meet; keys meet `c`.
template <bool bonus>
struct Chunk : ChunkTiles {
  __device__ float ofRead(int row, int column) const { return readAt<bonus>(c, starts, row, column); }
  __device__ float2 pairOfRead(int row, int column) const {
    return readPairAt<bonus>(c, starts, row, column);
  }
  /// Whether a token of the same document gives its key to a query. With a bonus what a token gives itself
  /// meets no decay, and is not among those.
  __device__ static bool gives(int key, int query) { return bonus ? query > key : query >= key; }
};

/// sum += dA of the warp's rows and the columns of `other`, or with `query` its own columns and the rows of
/// `other`, times keys or queries of `other`, decayed to or from the sum of token `reference` (-1: zero); of
/// the reference's document, but those of `without`. In tf32: of the two gradients' roundings the decay's
/// gradient is the difference.
template <bool query, bool precise = false, bool bonus>
__device__ inline void addProducts(WarpSums& sum, const Chunk<bonus>& in, int other, int reference,
                                   unsigned without, const WarpPlace& at) {
  uint32_t operand[warpTiles][2][2];  // [n][step][token]
  uint32_t rest[warpTiles][2][2];
  bool used[2][2];
#pragma unroll
  for (int step = 0; step < 2; step++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int inside = 8 * step + at.pairOf + i, token = other + inside;
      used[step][i] =
          !(without >> inside & 1) &&
          (reference < 0 || sameDocument(in.starts, min(token, reference), max(token, reference)));
    }
#pragma unroll
  for (int pair = 0; pair < warpTiles / 2; pair++) {
    const MmaB2 b = loadB(query ? in.Q : in.K, other, at.column0 + 16 * pair, at.lane);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int channel = at.column0 + 16 * pair + 8 * half + at.group;
      const float start = reference < 0 ? 0.0f : in.c.at(reference, channel);
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const uint32_t both = b.x[2 * half + step];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int token = other + 8 * step + at.pairOf + i;
          const float decay = (query ? in.ofRead(token, channel) : in.c.at(token, channel)) - start;
          const float value = (i == 0 ? lowHalf(both) : highHalf(both)) * exp2Decay(query ? decay : -decay);
          const uint32_t rounded = used[step][i] ? roundToTf32(value) : 0;
          operand[2 * pair + half][step][i] = rounded;
          if (precise)
            rest[2 * pair + half][step][i] =
                used[step][i] ? roundToTf32(value - __uint_as_float(rounded)) : 0;
        }
      }
    }
  }
#pragma unroll
  for (int step = 0; step < 2; step++) {
    uint32_t a[4];
    const int token = other + 8 * step + at.pairOf;
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const float2 both = query ? make_float2(in.dA.at(token, at.row(h)), in.dA.at(token + 1, at.row(h)))
                                : in.dA.pairAt(at.row(h), token);
      a[h] = roundToTf32(both.x);
      a[h + 2] = roundToTf32(both.y);
    }
#pragma unroll
    for (int n = 0; n < warpTiles; n++) {
      mmaTf32(sum[n], a, operand[n][step][0], operand[n][step][1]);
      if (precise) mmaTf32(sum[n], a, rest[n][step][0], rest[n][step][1]);
    }
  }
}

/// to += sum times, of queries, exp2(c - c of token `reference`), of keys its inverse, in rows of the
/// reference's document, but those of `without`.
template <bool ofQuery, bool bonus>
__device__ inline void addDecayed(WarpSums& to, const WarpSums& sum, const Chunk<bonus>& in, int reference,
                                  unsigned without, const WarpPlace& at) {
  constexpr float sign = ofQuery ? 1.0f : -1.0f;
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const int row = at.row(h);
    if (without >> (row - at.row0) & 1) continue;
    if (reference >= 0 && !sameDocument(in.starts, min(row, reference), max(row, reference))) continue;
#pragma unroll
    for (int n = 0; n < warpTiles; n++) {
      const int column = at.column(n);
      const float2 here = ofQuery ? in.pairOfRead(row, column) : in.c.pairAt(row, column);
      const float2 start = reference < 0 ? make_float2(0.0f, 0.0f) : in.c.pairAt(reference, column);
      to[n][2 * h] += sum[n][2 * h] * exp2Decay(sign * (here.x - start.x));
      to[n][2 * h + 1] += sum[n][2 * h + 1] * exp2Decay(sign * (here.y - start.y));
    }
  }
}

/// What `steep` tokens and those of their sub-chunk give each other's queries or keys, pair by pair in f32.
template <bool ofQuery, bool bonus>
__device__ inline void addSteep(WarpSums& to, const Chunk<bonus>& in, unsigned steep, const WarpPlace& at) {
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const int own = at.row(h);
#pragma unroll 1
    for (int i = 0; i < subChunk; i++) {
      const int other = at.row0 + i, query = ofQuery ? own : other, key = ofQuery ? other : own;
      if (!in.gives(key, query) || !(steep >> (query - at.row0) & 1) || !sameDocument(in.starts, key, query))
        continue;
      const float share = in.dA.at(query, key);
#pragma unroll
      for (int n = 0; n < warpTiles; n++) {
        const int column = at.column(n);
        const float2 value = loadPair(ofQuery ? in.K : in.Q, other, column);
        const float2 here = in.pairOfRead(query, column), there = in.c.pairAt(key, column);
        to[n][2 * h] += share * value.x * exp2Decay(here.x - there.x);
        to[n][2 * h + 1] += share * value.y * exp2Decay(here.y - there.y);
      }
    }
  }
}

/// dq of what tokens of one chunk give each other.
template <bool bonus>
__device__ inline void queriesInside(WarpSums& dq, const Chunk<bonus>& in, unsigned steep,
                                     const WarpPlace& at) {
  const int row0 = at.row0, before = goesOn(in.starts, row0) ? row0 - 1 : -1;
  WarpSums sum = {};
#pragma unroll 1
  for (int other = 0; other < row0; other += subChunk) addProducts<false>(sum, in, other, row0 - 1, 0, at);
  if (row0 > 0) addDecayed<true>(dq, sum, in, row0 - 1, 0, at);
  if (steep != 0xffff) {
    clear(sum);
    addProducts<false, true>(sum, in, row0, before, steep, at);
    addDecayed<true>(dq, sum, in, before, steep, at);
  }
  if (steep != 0) addSteep<true>(dq, in, steep, at);
}

/// dk of the same.
template <bool bonus>
__device__ inline void keysInside(WarpSums& dk, const Chunk<bonus>& in, unsigned steep, const WarpPlace& at) {
  const int row0 = at.row0, before = goesOn(in.starts, row0) ? row0 - 1 : -1;
  WarpSums sum = {};
  if (steep != 0xffff) {
    addProducts<true, true>(sum, in, row0, before, steep, at);
    addDecayed<false>(dk, sum, in, before, steep, at);
  }
#pragma unroll 1
  for (int other = row0 + subChunk; other < tileTokens; other += subChunk) {
    clear(sum);
    addProducts<true>(sum, in, other, other - 1, 0, at);
    addDecayed<false>(dk, sum, in, other - 1, 0, at);
  }
  if (steep != 0) addSteep<false>(dk, in, steep, at);
}

}  // namespace longscan
