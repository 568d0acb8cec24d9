#pragma once

#include "prepare.cuh"

// Pk, Pe, Ak and Ae of a piece. Between a row and a column, both c from the piece's start,
//
//     e^(c_i - c_j) = e^(c_i - m) e^(m - c_j)      m = c before the first of the row's 16 tokens
//
// so that a column of earlier tokens has both exponents at most zero. Inside 16 tokens the second factor
// grows to what they decay by; where that is more than f32 holds, that block is taken pair by pair.

namespace longscan {

__device__ inline float exp2Of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Decay of 16 tokens, as log2, whose reciprocal f32 still holds, and with it any product of bf16.
constexpr float dplrMostDecay = -100.0f;

/// A warp has 16 rows and, of every 16 columns up to them, eight.
template <int K>
class DplrScores {
  using Block = DplrPrepareBlock<K>;
  using Shared = typename Block::Shared;
  const Block& block;
  /// Such that each scheduler's two warps have equally many columns.
  const int own, half, lane, row, column;  // of 16; of two; the thread's in the sums
  /// [columns / 16][sum]: k with q, k with b, e with q, e with b.
  float keyScores[4][4] = {}, keyMeets[4][4] = {}, extraScores[4][4] = {}, extraMeets[4][4] = {};

 public:
  __device__ explicit DplrScores(const Block& block)
      : block(block),
        own(block.warp < 4 ? block.warp : 7 - block.warp),
        half(block.warp / 4),
        lane(block.lane),
        row(16 * own + lane / 4),
        column(8 * half + 2 * (lane % 4)) {}

  __device__ void run() {
    const bool isSteep = decaysTooFar();
    const bool hasExtra = block.call.slice.e != nullptr;
    if (hasExtra)
      multiply<true>(isSteep ? own : own + 1);
    else
      multiply<false>(isSteep ? own : own + 1);
    if (isSteep) meetPairs(hasExtra);
    share(hasExtra);
  }

 private:
  __device__ bool decaysTooFar() const {
    float least = 0.0f;
    for (int channel = lane; channel < K; channel += 32)
      least = fminf(least, block.floats(Shared::totals)[own * K + channel]);
    return __any_sync(~0u, least < dplrMostDecay);
  }

  /// Columns [0, 16 blocks).
  template <bool hasExtra>
  __device__ void multiply(int blocks) {
    const Tile<K> queries = block.wide(Shared::queries), keys = block.wide(Shared::keys),
                  eraseKeys = block.wide(Shared::eraseKeys), extraKeys = block.wide(Shared::extraKeys);
#pragma unroll 1
    for (int group = 0; group < K / 32; group++) {
      const auto load = [&](uint32_t(&to)[4], Tile<K> from, int first) {
        loadMatrices(to, from.address(first + lane % 8, 4 * group + lane / 8));
      };
      uint32_t q[4][4], b[4][4];  // [step][operand's number]
      float2 start[4];
      {
        uint32_t upper[4], lower[4], upperErase[4], lowerErase[4];
        load(upper, queries, 16 * own);
        load(lower, queries, 16 * own + 8);
        load(upperErase, eraseKeys, 16 * own);
        load(lowerErase, eraseKeys, 16 * own + 8);
#pragma unroll
        for (int step = 0; step < 4; step++) {
          const int channel = 32 * group + 8 * step + 2 * (lane % 4);
          start[step] = sumBefore(16 * own, channel);
          decayRow(q[step], b[step], 0, upper[step], upperErase[step], start[step], channel);
          decayRow(q[step], b[step], 1, lower[step], lowerErase[step], start[step], channel);
        }
      }
#pragma unroll
      for (int other = 0; other < 4; other++) {
        if (other >= blocks) break;
        const int first = 16 * other + 8 * half;
        uint32_t k[4], e[4];
        load(k, keys, first);
        if (hasExtra) load(e, extraKeys, first);
#pragma unroll
        for (int step = 0; step < 4; step++) {
          const int channel = 32 * group + 8 * step + 2 * (lane % 4);
          const float2 sum = *reinterpret_cast<const float2*>(block.sumsOf(first + lane / 4) + channel);
          const float left = exp2Of(start[step].x - sum.x), right = exp2Of(start[step].y - sum.y);
          const uint32_t k0 = roundToTf32(left * lowHalf(k[step])),
                         k1 = roundToTf32(right * highHalf(k[step]));
          mmaTf32(keyScores[other], q[step], k0, k1);
          mmaTf32(keyMeets[other], b[step], k0, k1);
          if (!hasExtra) continue;
          const uint32_t e0 = roundToTf32(left * lowHalf(e[step])),
                         e1 = roundToTf32(right * highHalf(e[step]));
          mmaTf32(extraScores[other], q[step], e0, e1);
          mmaTf32(extraMeets[other], b[step], e0, e1);
        }
      }
    }
  }

  __device__ float2 sumBefore(int row, int channel) const {
    return row == 0 ? make_float2(0.0f, 0.0f)
                    : *reinterpret_cast<const float2*>(block.sumsOf(row - 1) + channel);
  }

  /// Two channels of the thread's first or second row, decayed since `start`.
  __device__ void decayRow(uint32_t (&q)[4], uint32_t (&b)[4], int second, uint32_t query, uint32_t eraseKey,
                           float2 start, int channel) const {
    const float2 sum = *reinterpret_cast<const float2*>(block.sumsOf(row + 8 * second) + channel);
    const float2 before = sumBefore(row + 8 * second, channel);
    q[second] = roundToTf32(exp2Of(sum.x - start.x) * lowHalf(query));
    q[2 + second] = roundToTf32(exp2Of(sum.y - start.y) * highHalf(query));
    b[second] = roundToTf32(exp2Of(before.x - start.x) * lowHalf(eraseKey));
    b[2 + second] = roundToTf32(exp2Of(before.y - start.y) * highHalf(eraseKey));
  }

  /// The block on the diagonal.
  __device__ void meetPairs(bool hasExtra) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int from = row + 8 * (i / 2), to = 16 * own + column + i % 2;
      float sums[4] = {};
      if (to <= from) {
#pragma unroll 1
        for (int channel = 0; channel < K; channel++) {
          const float end = block.sumsOf(to)[channel];
          const float q =
              exp2Of(block.sumsOf(from)[channel] - end) * numberOf(Shared::queries, from, channel);
          const float b = to < from ? exp2Of(block.sumsOf(from - 1)[channel] - end) *
                                          numberOf(Shared::eraseKeys, from, channel)
                                    : 0.0f;
          const float k = numberOf(Shared::keys, to, channel);
          sums[0] += q * k;
          sums[1] += b * k;
          if (!hasExtra) continue;
          const float e = numberOf(Shared::extraKeys, to, channel);
          sums[2] += q * e;
          sums[3] += b * e;
        }
      }
#pragma unroll
      for (int other = 0; other < 4; other++) {
        if (other != own) continue;
        keyScores[other][i] = sums[0];
        keyMeets[other][i] = sums[1];
        extraScores[other][i] = sums[2];
        extraMeets[other][i] = sums[3];
      }
    }
  }

  /// Scaled, and in shared memory: of Ae, with the sign of what is inverted, two terms and the diagonal.
  __device__ void share(bool hasExtra) const {
    const float scale = block.call.slice.scale;
    const SplitSquare square(block.base + Shared::square);
    float* const diagonal = block.floats(Shared::diagonal) + own * (DiagonalBlock::bytes / 4);
#pragma unroll
    for (int other = 0; other < 4; other++) {
      if (other > own) break;
      const float2 beta = *reinterpret_cast<const float2*>(block.floats(Shared::beta) + 16 * other + column);
#pragma unroll
      for (int second = 0; second < 2; second++) {
        const int from = row + 8 * second, to = 16 * other + column, i = 2 * second;
        float k[2] = {beta.x * keyScores[other][i], beta.y * keyScores[other][i + 1]};
        float m[2] = {beta.x * keyMeets[other][i], beta.y * keyMeets[other][i + 1]};
        float e[2] = {-k[0], -k[1]}, x[2] = {-m[0], -m[1]};
        if (hasExtra) {
          e[0] = extraScores[other][i], e[1] = extraScores[other][i + 1];
          x[0] = extraMeets[other][i], x[1] = extraMeets[other][i + 1];
        }
#pragma unroll
        for (int j = 0; j < 2; j++) {
          // Nothing of another document either, whose numbers may be none.
          const bool isThere = to + j >= block.piece.low;
          if (!isThere || to + j > from) k[j] = e[j] = 0.0f;
          if (!isThere || to + j >= from) m[j] = x[j] = 0.0f;
        }
        const auto put = [&](int tile, float left, float right) {
          storeShared(block.narrow(tile).address(from, 2 * other + half) + 4 * (lane % 4), pack(left, right));
        };
        put(Shared::keyScores, scale * k[0], scale * k[1]);
        put(Shared::extraScores, scale * e[0], scale * e[1]);
        put(Shared::keyMeets, m[0], m[1]);
        if (other == own) {
          *reinterpret_cast<float2*>(diagonal + 16 * (from % 16) + column) = make_float2(-x[0], -x[1]);
        } else {
          const uint32_t first = pack(-x[0], -x[1]), at = square.high.address(from, 2 * other + half);
          storeShared(at + 4 * (lane % 4), first);
          storeShared(at + (square.low.base - square.high.base) + 4 * (lane % 4),
                      pack(-x[0] - lowHalf(first), -x[1] - highHalf(first)));
        }
      }
    }
  }

  __device__ float numberOf(int tile, int row, int channel) const {
    const uint32_t both = loadShared((block.wide(tile).address(row, channel / 8) + 2 * (channel % 8)) & ~3u);
    return channel % 2 == 0 ? lowHalf(both) : highHalf(both);
  }
};

}  // namespace longscan
