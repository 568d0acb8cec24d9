#pragma once

#include "cuda_diagonal_frame.cuh"

// From a block's sums to the gradients of its queries, keys and decays.

namespace longscan {

/// Adds S times D, element by element, to the sums of the thread's eight key channels.
__device__ inline void addEnds(float (&sum)[8], Tile<64> S, Tile<64> D) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = threadIdx.x / 8 + 32 * i, unit = threadIdx.x % 8;
    const uint4 s = loadShared16(S.address(row, unit)), d = loadShared16(D.address(row, unit));
    const uint32_t left[4] = {s.x, s.y, s.z, s.w}, right[4] = {d.x, d.y, d.z, d.w};
#pragma unroll
    for (int n = 0; n < 4; n++) {
      sum[2 * n] += lowHalf(left[n]) * lowHalf(right[n]);
      sum[2 * n + 1] += highHalf(left[n]) * highHalf(right[n]);
    }
  }
}

/// A warp's share of them.
__device__ inline void storeEnds(float (&sum)[8], float* ends) {
#pragma unroll
  for (int i = 0; i < 8; i++) {
    sum[i] += __shfl_xor_sync(~0u, sum[i], 8);
    sum[i] += __shfl_xor_sync(~0u, sum[i], 16);
  }
  const int lane = threadIdx.x & 31;
  if (lane >= 8) return;
#pragma unroll
  for (int i = 0; i < 8; i++) ends[(threadIdx.x >> 5) * KB + 8 * lane + i] = sum[i];
}

/// Adds up numbers, twice as many as `half`, over the lanes that have the same pairs of columns. In the end,
/// of 16 numbers lane group i has 2 i and 2 i + 1.
template <int half>
__device__ void sumOverGroups(float (&x)[16], int lane) {
  const bool upper = lane & (2 * half);
#pragma unroll
  for (int i = 0; i < half; i++) {
    const float given = upper ? x[i] : x[i + half], own = upper ? x[i + half] : x[i];
    x[i] = own + __shfl_xor_sync(~0u, given, 2 * half);
  }
  if constexpr (half > 2) sumOverGroups<half / 2>(x, lane);
}

/// What keys of the chunk's last document get from behind the chunk, times the keys, summed over a warp's
/// tokens: sum = D v.
__device__ inline void storeBehind(const Sums& sum, const Chunk& in, float* behind, const GradientPlace& at) {
  float sums[16] = {};
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const int column = 8 * n + at.pairOf;
    const float2 end = in.c.pairAt(in.length - 1, column);
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = at.row(h);
      if (row >= in.length || documentEnd(in.starts, row, in.length) != in.length) continue;
      const float2 here = in.c.pairAt(row, column), k = loadPair(in.K, row, column);
      sums[2 * n] += k.x * exp2Decay(end.x - here.x) * sum[n][2 * h];
      sums[2 * n + 1] += k.y * exp2Decay(end.y - here.y) * sum[n][2 * h + 1];
    }
  }
  // Numbers 2 n and 2 n + 1 are columns 8 n + pairOf and the next.
  sumOverGroups<8>(sums, at.lane);
  float* const to = behind + at.warp * KB + 8 * at.group + at.pairOf;
  *reinterpret_cast<float2*>(to) = make_float2(sums[0], sums[1]);
}

/// Decays what the sums say, stores it as dq or dk and leaves q dq or k dk in `exchanged`; what is there
/// before is added if `isInside`.
__device__ inline void closeRows(Sums& sum, FloatTile<64> exchanged, bool isInside, const Chunk& in,
                                 float scale, __nv_bfloat16* to, int pitch, int channels,
                                 const GradientPlace& at) {
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const int row = at.row(h), last = documentEnd(in.starts, row, in.length) - 1;
    // Whether a state comes to this token from outside the chunk; selected, for it may be another document's.
    const bool meets = at.ofQuery ? (in.starts & ((2ull << row) - 1)) == 0 : last == in.length - 1;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const int column = 8 * n + at.pairOf;
      const float2 here = in.c.pairAt(row, column);
      float2 decay;
      if (at.ofQuery) {
        decay = make_float2(scale * exp2Decay(here.x), scale * exp2Decay(here.y));
      } else {
        const float2 end = in.c.pairAt(last, column);
        decay = make_float2(exp2Decay(end.x - here.x), exp2Decay(end.y - here.y));
      }
      float2 found =
          make_float2(meets ? decay.x * sum[n][2 * h] : 0.0f, meets ? decay.y * sum[n][2 * h + 1] : 0.0f);
      float2& place = exchanged.pairAt(row, column);
      if (isInside) {
        found.x += place.x;
        found.y += place.y;
      }
      sum[n][2 * h] = found.x;
      sum[n][2 * h + 1] = found.y;
      const float2 own = loadPair(at.ofQuery ? in.Q : in.K, row, column);
      place = row < in.length ? make_float2(own.x * found.x, own.y * found.y) : make_float2(0.0f, 0.0f);
    }
    // The quad's four lanes have two channels each of eight groups of eight: afterwards a lane has two
    // groups.
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t packed[4];
#pragma unroll
      for (int n = 0; n < 4; n++) packed[n] = pack(sum[4 * half + n][2 * h], sum[4 * half + n][2 * h + 1]);
      transposeQuad(packed, at.lane);
      const int channel = 32 * half + 8 * (at.lane & 3);
      if (row < in.length && channel < channels)
        storeGlobal(to + static_cast<int64_t>(row) * pitch + channel, packed[0], packed[1], packed[2],
                    packed[3]);
    }
  }
}

/// dlog a_t = the sum of q_s dq_s - k_s dk_s from t to the document's end or the chunk's, there plus what
/// goes on behind it: `ends`, and what its last document's keys got from there. (In f32 the latter and its
/// share of the sum cancel; the state after the chunk in the place of both would not be rounded as they are.)
/// A thread has one channel of a sub-chunk. `opensSlice`: no state comes before the first token.
__device__ inline void storeDecayGradient(float* to, int pitch, int channels, const Chunk& in,
                                          unsigned char* shared, bool opensSlice) {
  using Layout = GradientLayout;
  const FloatTile<64> ofQueries{reinterpret_cast<float*>(shared + Layout::exchanged)};
  const FloatTile<64> ofKeys{ofQueries.base + FloatTile<64>::bytes / 4};
  float* const leading = reinterpret_cast<float*>(shared + Layout::totals);
  const float* const behind = reinterpret_cast<const float*>(shared + Layout::behind);
  const float* const ends = reinterpret_cast<const float*>(shared + Layout::ends);
  const int column = threadIdx.x % KB, part = threadIdx.x / KB, row0 = part * subChunk;
  const unsigned opened = static_cast<unsigned>(in.starts >> row0 & 0xffff);

  float sums[subChunk], sum = 0.0f;
#pragma unroll
  for (int i = subChunk - 1; i >= 0; i--) {
    if (i + 1 < subChunk && (opened >> (i + 1) & 1)) sum = 0.0f;
    sum += ofQueries.at(row0 + i, column) - ofKeys.at(row0 + i, column);
    sums[i] = sum;
  }
  leading[part * KB + column] = opened & 1 ? 0.0f : sum;
  __syncthreads();

  float following = 0.0f, meeting = 0.0f;
#pragma unroll
  for (int warp = 0; warp < 4; warp++) following += behind[warp * KB + column];
#pragma unroll
  for (int warp = 0; warp < 8; warp++) meeting += ends[warp * KB + column];
  following += exp2Decay(in.c.at(tileTokens - 1, column)) * meeting;
#pragma unroll
  for (int other = subChunks - 1; other > 0; other--) {
    if (other <= part) break;
    const bool goesOn = (in.starts >> (other * subChunk) & 0xffff) == 0;
    following = leading[other * KB + column] + (goesOn ? following : 0.0f);
  }
  if (column >= channels) return;
#pragma unroll
  for (int i = subChunk - 1; i >= 0; i--) {
    const int row = row0 + i;
    if (i + 1 < subChunk && (opened >> (i + 1) & 1)) following = 0.0f;
    const bool meetsNothing = (opened >> i & 1) || (opensSlice && row == 0);
    if (row < in.length)
      to[static_cast<int64_t>(row) * pitch + column] = meetsNothing ? 0.0f : sums[i] + following;
  }
}

}  // namespace longscan
