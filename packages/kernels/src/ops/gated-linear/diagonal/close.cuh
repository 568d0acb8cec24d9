#pragma once

#include "cuda/group_sums.cuh"
#include "cuda/warpgroup_wide.cuh"
#include "frame.cuh"

// From a block's sums to the gradients of its queries, keys and decays.

namespace longscan {

/// A warp's share of S times D, element by element, summed over values: 16 key channels, and of the values a
/// half. Products give every pair of channels; a lane in four keeps those of two channels with themselves.
class EndSums {
  float sums[2][4] = {};
  uint32_t offset;  // of the lane's row in either tile

  __device__ static int half() { return threadIdx.x >> 7; }
  __device__ static int firstKey() { return 16 * (threadIdx.x >> 5 & 3); }

 public:
  __device__ explicit EndSums(int lane)
      : offset(
            Tile<64>{0}.fragment(32 * half(), firstKey(), (lane & 7) + ((lane >> 4) << 3), lane >> 3 & 1)) {}

  __device__ void add(Tile<64> S, Tile<64> D) {
#pragma unroll
    for (int step = 0; step < 2; step++) {
      const uint32_t at = offset + step * 16 * Tile<64>::pitch;
      MmaA s, d;  // both with channels as rows; for a product's second operand two parts change places
      loadMatricesTransposed(s.x, S.base + at);
      loadMatricesTransposed(d.x, D.base + at);
      mma(sums[0], s, d.x[0], d.x[2]);
      mma(sums[1], s, d.x[1], d.x[3]);
    }
  }

  __device__ void store(float* ends, int lane) const {
    const int key = lane >> 2;
    if ((lane & 3) != key >> 1) return;
    float* const to = ends + half() * KB + firstKey() + key;
    to[0] = key & 1 ? sums[0][1] : sums[0][0];
    to[8] = key & 1 ? sums[1][3] : sums[1][2];
  }
};

/// Of all values, in the first half's place. A thread of the first KB has a channel.
__device__ inline void addUpEnds(float* ends) {
  if (threadIdx.x < KB) ends[threadIdx.x] += ends[KB + threadIdx.x];
}

/// Adds up sixteen numbers over a warp's tokens, 2 n and 2 n + 1 of columns 8 n + pairOf and the next.
__device__ inline void storeSums(float (&sums)[16], float* to, const GradientPlace& at) {
  sumOverGroups<8, 16>(sums, at.lane);
  *reinterpret_cast<float2*>(to + at.warp * KB + at.column(at.lane >> 2)) = make_float2(sums[0], sums[1]);
}

/// The sums in bf16, to rows of dq or dk.
__device__ inline void storeRows(const Sums& sum, __nv_bfloat16* to, int pitch, int length, int channels,
                                 const GradientPlace& at) {
#pragma unroll
  for (int h = 0; h < 2; h++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      // The quad's four lanes have two channels each of four groups of eight: afterwards a lane has a group.
      uint32_t packed[4];
#pragma unroll
      for (int n = 0; n < 4; n++) packed[n] = pack(sum[4 * half + n][2 * h], sum[4 * half + n][2 * h + 1]);
      transposeQuad(packed, at.lane);
      const int channel = 32 * half + 8 * (at.lane & 3);
      if (at.row(h) < length && channel < channels)
        storeGlobal(to + static_cast<int64_t>(at.row(h)) * pitch + channel, packed[0], packed[1], packed[2],
                    packed[3]);
    }
}

/// The same to a tile.
__device__ inline void stageRows(const Sums& sum, Tile<64> to, const GradientPlace& at) {
#pragma unroll
  for (int step = 0; step < 4; step++) storeOperandA(to, at.row0, step, operandA(sum, step), at.lane);
}

/// Makes dq or dk of `outer`, what comes from outside of the chunk, and `inner`, what its tokens give each
/// other: all but the decay from the chunk's start, or up to its end. Leaves q dq or k dk in `exchanged`, and
/// of keys in `behind` sums over rows of k times what they get from outside.
template <bool ofQuery, bool bonus>
__device__ inline void closeMild(Sums& outer, const Sums& inner, float (&behind)[16], FloatTile<64> exchanged,
                                 const Chunk<bonus>& in, float scale, const GradientPlace& at) {
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const int column = at.column(n);
    float2 end;
    if (!ofQuery) end = in.c.pairAt(tileTokens - 1, column);
    behind[2 * n] = behind[2 * n + 1] = 0.0f;
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const float2 here = ofQuery ? in.pairOfRead(at.row(h), column) : in.c.pairAt(at.row(h), column);
      const float2 x = loadPair(ofQuery ? in.Q : in.K, at.row(h), column);
      float* const found = &outer[n][2 * h];
      if (ofQuery) {
        found[0] = exp2Decay(here.x) * (scale * found[0] + inner[n][2 * h]);
        found[1] = exp2Decay(here.y) * (scale * found[1] + inner[n][2 * h + 1]);
      } else {
        const float near = exp2Decay(end.x - here.x), far = exp2Decay(end.y - here.y);
        found[0] *= near;
        found[1] *= far;
        behind[2 * n] += x.x * found[0];
        behind[2 * n + 1] += x.y * found[1];
        found[0] += near * inner[n][2 * h];
        found[1] += far * inner[n][2 * h + 1];
      }
      exchanged.pairAt(at.row(h), column) = make_float2(x.x * found[0], x.y * found[1]);
    }
  }
}

/// Of any documents and decays, to `exchanged`: what comes from outside of the chunk; and `behind` as above.
template <bool bonus>
__device__ inline void closeOuter(const Sums& sum, float (&behind)[16], FloatTile<64> exchanged,
                                  const Chunk<bonus>& in, float scale, const GradientPlace& at) {
#pragma unroll
  for (int i = 0; i < 16; i++) behind[i] = 0.0f;
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const int row = at.row(h), last = documentEnd(in.starts, row, in.length) - 1;
    // Whether a state comes to this token from outside the chunk; selected, for it may be another document's.
    const bool exists = row < in.length;
    const bool meets = at.ofQuery ? (in.starts & ((2ull << row) - 1)) == 0 : last == in.length - 1;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const int column = at.column(n);
      const float2 here = at.ofQuery ? in.pairOfRead(row, column) : in.c.pairAt(row, column);
      const float2 end = in.c.pairAt(last, column);
      const float2 x = loadPair(in.K, row, column);
      const float near = at.ofQuery ? scale * exp2Decay(here.x) : exp2Decay(end.x - here.x);
      const float far = at.ofQuery ? scale * exp2Decay(here.y) : exp2Decay(end.y - here.y);
      const float2 found =
          make_float2(meets ? near * sum[n][2 * h] : 0.0f, meets ? far * sum[n][2 * h + 1] : 0.0f);
      exchanged.pairAt(row, column) = found;
      behind[2 * n] += exists && meets ? x.x * found.x : 0.0f;
      behind[2 * n + 1] += exists && meets ? x.y * found.y : 0.0f;
    }
  }
}

/// From the gradients in `exchanged` to sums, and q dq or k dk in their place.
__device__ inline void takeGradients(Sums& sum, FloatTile<64> exchanged, const ChunkTiles& in,
                                     const GradientPlace& at) {
#pragma unroll
  for (int h = 0; h < 2; h++)
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const int row = at.row(h), column = at.column(n);
      const float2 x = loadPair(at.ofQuery ? in.Q : in.K, row, column);
      float2& place = exchanged.pairAt(row, column);
      const float2 found = place;
      sum[n][2 * h] = found.x;
      sum[n][2 * h + 1] = found.y;
      place = row < in.length ? make_float2(x.x * found.x, x.y * found.y) : make_float2(0.0f, 0.0f);
    }
}

/// Adds to dq or dk what tokens give themselves by the bonus; `shares`: of queries, sums over rows of what
/// the bonus gets from them. `itself`: of each token scale * dO . v.
template <bool ofQuery>
__device__ inline void addItself(Sums& sum, float (&shares)[16], const float* itself, const float* bonus,
                                 const ChunkTiles& in, const GradientPlace& at) {
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const int column = at.column(n);
    const float2 weight = *reinterpret_cast<const float2*>(bonus + column);
    if (ofQuery) shares[2 * n] = shares[2 * n + 1] = 0.0f;
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const float share = itself[at.row(h)];
      const float2 other = loadPair(ofQuery ? in.K : in.Q, at.row(h), column);
      sum[n][2 * h] += share * weight.x * other.x;
      sum[n][2 * h + 1] += share * weight.y * other.y;
      if (!ofQuery) continue;
      const float2 own = loadPair(in.Q, at.row(h), column);
      shares[2 * n] += share * own.x * other.x;
      shares[2 * n + 1] += share * own.y * other.y;
    }
  }
}

/// dlog a_t = the sum of q_s dq_s - k_s dk_s from t to the document's end or the chunk's, there plus what
/// goes on behind it: `ends`, and what its last document's keys got from there. (In f32 the latter and its
/// share of the sum cancel; the state after the chunk in the place of both would not be rounded as they are.)
/// With a bonus a token's own read does not meet its decay: q_s dq_s, without what tokens give themselves, is
/// summed from behind t. A thread has some rows of one channel.
template <bool bonus>
class DecayGradient {
  using Layout = GradientLayout;
  static constexpr int rows = gradientRows, parts = gradientThreads / KB;
  static constexpr unsigned allRows = (1u << rows) - 1;
  const ChunkTiles& in;
  unsigned char* const shared;
  const int column = threadIdx.x % KB, part = threadIdx.x / KB;
  const unsigned opened;  // rows in which documents start
  float sums[rows];

  __device__ float* floatsAt(int place) const { return reinterpret_cast<float*>(shared + place); }

 public:
  /// Adds up the thread's rows; what others need of it is there after a barrier.
  __device__ DecayGradient(const ChunkTiles& in, unsigned char* shared)
      : in(in), shared(shared), opened(static_cast<unsigned>(in.starts >> part * rows) & allRows) {
    const FloatTile<64> ofQueries{floatsAt(Layout::queriesExchanged)},
        ofKeys{floatsAt(Layout::keysExchanged)};
    float sum = 0.0f;
#pragma unroll
    for (int i = rows - 1; i >= 0; i--) {
      if (i + 1 < rows && (opened >> (i + 1) & 1)) sum = 0.0f;
      if (bonus) sums[i] = sum - ofKeys.at(part * rows + i, column);
      sum += ofQueries.at(part * rows + i, column) - ofKeys.at(part * rows + i, column);
      if (!bonus) sums[i] = sum;
    }
    floatsAt(Layout::totals)[threadIdx.x] = opened & 1 ? 0.0f : sum;
  }

  /// To rows of dg. `opensSlice`: no state comes before the first token.
  __device__ void store(float* to, int pitch, int channels, bool opensSlice) const {
    float following = fromBehind();
    if (column >= channels) return;
    to += static_cast<int64_t>(part * rows) * pitch + column;
    if (in.starts == 0 && in.length == tileTokens && !opensSlice) {
#pragma unroll
      for (int i = 0; i < rows; i++) to[i * pitch] = sums[i] + following;
      return;
    }
#pragma unroll
    for (int i = rows - 1; i >= 0; i--) {
      const int row = part * rows + i;
      if (i + 1 < rows && (opened >> (i + 1) & 1)) following = 0.0f;
      const bool meetsNothing = (opened >> i & 1) || (opensSlice && row == 0);
      if (row < in.length) to[i * pitch] = meetsNothing ? 0.0f : sums[i] + following;
    }
  }

 private:
  /// What goes on behind the thread's rows.
  __device__ float fromBehind() const {
    const float* const behind = floatsAt(Layout::behind);
    float following = 0.0f;
#pragma unroll
    for (int warp = 0; warp < 4; warp++) following += behind[warp * KB + column];
    following += exp2Decay(in.c.at(tileTokens - 1, column)) * floatsAt(Layout::ends)[column];
#pragma unroll
    for (int other = parts - 1; other > 0; other--) {
      if (other <= part) break;
      const bool goesOn = (in.starts >> (other * rows) & allRows) == 0;
      following = floatsAt(Layout::totals)[other * KB + column] + (goesOn ? following : 0.0f);
    }
    return following;
  }
};

}  // namespace longscan
