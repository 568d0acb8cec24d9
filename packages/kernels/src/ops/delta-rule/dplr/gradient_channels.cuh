#pragma once

#include "gradient_scores.cuh"

namespace longscan {

/// A warp's 16 channels of K and all tokens of a chunk. Sums have channels as rows and tokens as columns:
/// decays, tokens and gradients of a channel and a token lie in one thread, and decayed tokens are first
/// operands in the registers where they are made, in two terms.
template <typename Kind>
class DplrGradientChannels : protected DplrGradientScores<Kind> {
  using Scores = DplrGradientScores<Kind>;

 protected:
  using Scores::Scores, Scores::base, Scores::group, Scores::lane, Scores::pair, Scores::slice, Scores::warp;
  using typename Scores::Layout;

  // Sums of log decays in base 2 up to and with a token, and up to the first one of each pair. With a gate
  // per channel they begin as far above zero as they end below it, so that `middle` is where they end, and
  // what a state is decayed by until they are zero. A gate per head is in the scores, and sums begin at zero.
  Sums upTo;
  float before[8][2], middle[2], end[2];
  /// A channel decays too far for that: pair by pair.
  bool isSteep;

  __device__ int channelOf(int half) const { return 16 * warp + group + 8 * half; }
  __device__ Tile<64> own(int which) const { return this->tokens(which, warp / 4); }
  __device__ MmaA raw(int which, int step) const {
    return loadATransposed(own(which), 16 * step, 16 * (warp % 4), lane);
  }

  /// visit(n, i, number): all of a token tensor, where sums [n][i] have them.
  template <typename Visit>
  __device__ void each(int which, Visit&& visit) const {
#pragma unroll
    for (int s = 0; s < 4; s++) {
      const MmaA a = raw(which, s);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        visit(2 * s + i / 2, i % 2 * 2, lowHalf(a.x[i]));
        visit(2 * s + i / 2, i % 2 * 2 + 1, highHalf(a.x[i]));
      }
    }
  }
  __device__ float betaAt(int n, int i) const {
    return this->betaOf(8 * n + pair + i % 2);
  }

  __device__ float gateAt(int row, int half) const {
    if (slice.g == nullptr || !this->has(row)) return 0.0f;
    if (Kind::ofHead) return slice.g[this->rowOf(row)];
    return channelOf(half) < slice.K ? __ldg(slice.g + this->rowOf(row) * slice.K + channelOf(half)) : 0.0f;
  }

  __device__ void sumGates() {
    constexpr float log2e = 1.4426950408889634f;
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) upTo[n][i] = log2e * gateAt(8 * n + pair + i % 2, i / 2);
    }
    float steepest = 0.0f;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float run = 0.0f;
#pragma unroll
      for (int n = 0; n < 8; n++) {
        const float first = upTo[n][2 * half], second = upTo[n][2 * half + 1];
        float sum = first + second;
#pragma unroll
        for (int distance = 1; distance < 4; distance *= 2) {
          const float left = __shfl_up_sync(~0u, sum, distance);
          if (lane % 4 >= distance) sum += left;
        }
        const float left = __shfl_up_sync(~0u, sum, 1);
        before[n][half] = lane % 4 ? run + left : run;
        upTo[n][2 * half] = before[n][half] + first;
        upTo[n][2 * half + 1] = upTo[n][2 * half] + second;
        run += __shfl_sync(~0u, sum, lane | 3);
      }
      end[half] = Kind::ofHead ? run : 0.5f * run;
      middle[half] = Kind::ofHead ? 0.0f : 0.5f * run;
      steepest = fminf(steepest, run);
#pragma unroll
      for (int n = 0; n < 8; n++) {
        before[n][half] -= middle[half];
        upTo[n][2 * half] -= middle[half];
        upTo[n][2 * half + 1] -= middle[half];
      }
    }
    isSteep = !Kind::ofHead && __any_sync(~0u, steepest < -192.0f);
    if (Kind::ofHead && warp == 0 && group == 0) {
#pragma unroll
      for (int n = 0; n < 8; n++) {
        const uint32_t place = base + 4 * (8 * n + pair);
        storeShared(place + Layout::sums, make_float2(upTo[n][0], upTo[n][1]));
        storeShared(place + Layout::before, make_float2(before[n][0], upTo[n][0]));
      }
    }
  }

  // What tokens are decayed by: up to them for a query, to the one before for an eraser, from them for a key.
  __device__ float ofQuery(int n, int i) const {
    return Kind::ofHead ? 1.0f : exp2Fast(upTo[n][i]);
  }
  __device__ float ofEraser(int n, int i) const {
    return Kind::ofHead ? 1.0f : exp2Fast(sumBefore(n, i));
  }
  __device__ float ofKey(int n, int i) const {
    return Kind::ofHead ? 1.0f : exp2Fast(-upTo[n][i]);
  }
  __device__ float sumBefore(int n, int i) const {
    return i % 2 ? upTo[n][i - 1] : before[n][i / 2];
  }

  /// factor(n, i) times a token tensor, as the operand of 16 tokens.
  template <typename Factor>
  __device__ SplitA decayed(int which, int step, Factor&& factor) const {
    const MmaA a = raw(which, step);
    SplitA split;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int n = 2 * step + i / 2, half = i % 2 * 2;
      split.set(i, factor(n, half) * lowHalf(a.x[i]), factor(n, half + 1) * highHalf(a.x[i]));
    }
    return split;
  }
  /// Of what is written: 0, beta k; 1, e.
  __device__ SplitA decayedWrite(int which, int step) const {
    return decayed(Scores::key + which, step,
                   [&](int n, int i) { return (which == 0 ? betaAt(n, i) : 1.0f) * ofKey(n, i); });
  }
  /// Of what reads: 0, q; 1, b.
  __device__ SplitA decayedRead(int which, int step) const {
    return decayed(Scores::query + which, step,
                   [&](int n, int i) { return which == 0 ? ofQuery(n, i) : ofEraser(n, i); });
  }

  /// What tokens of two tensors get from a state: sum += state[v][channel] rows[token][v], of all values.
  template <typename State, typename Rows>
  __device__ void addStates(Sums& first, Sums& second, bool there, State&& state, Rows&& firstRows,
                            Rows&& secondRows, bool joined) {
    clear(first);
    clear(second);
    for (int tile = 0; there && tile < this->valueTiles; tile++) {
      this->needValues(tile);
#pragma unroll
      for (int s = 0; s < 4; s++) {
        MmaA a = loadATransposed(state, 16 * s, 16 * warp, lane);
#pragma unroll
        for (int n = 0; n < 8; n += 2)
          mma(first[n], first[n + 1], a, loadBTransposed(firstRows, 8 * n, 16 * s, lane));
        if (joined) {
#pragma unroll
          for (int i = 0; i < 4; i++) a.x[i] ^= 0x80008000;
        }
        Sums& other = joined ? first : second;
#pragma unroll
        for (int n = 0; n < 8; n += 2)
          mma(other[n], other[n + 1], a, loadBTransposed(secondRows, 8 * n, 16 * s, lane));
      }
    }
  }

  // Two sums in turns, since a product waits for the one before it that adds to the same sum.

  /// Of queries and of erasers, the keys up to them: scores[i][j] keys[j].
  __device__ void addKeys(Sums& reads, Sums& erasers, int which, const SplitA& keys, int step) const {
    const int ofReads = Scores::readKey + 2 * which, ofErasers = Scores::eraseKey + 2 * which;
#pragma unroll
    for (int n = 2 * step; n < 8; n += 2) {
      const MmaB2 read = loadBTransposed(this->scores(ofReads), 8 * n, 16 * step, lane),
                  erase = loadBTransposed(this->scores(ofErasers), 8 * n, 16 * step, lane);
      mma(reads[n], reads[n + 1], keys.high, read);
      mma(erasers[n], erasers[n + 1], keys.high, erase);
      mma(reads[n], reads[n + 1], keys.low, read);
      mma(erasers[n], erasers[n + 1], keys.low, erase);
      mma(reads[n], reads[n + 1], keys.high, this->lowOfKeys(ofReads, n / 2, step));
      mma(erasers[n], erasers[n + 1], keys.high, this->lowOfKeys(ofErasers, n / 2, step));
    }
  }
  /// Of keys, and of what else is written, the queries (erasers) from them on: scores[i][j] queries[i].
  __device__ void addQueries(Sums& written, Sums& extra, int which, const SplitA& queries, int step) const {
    const int ofKeys = Scores::readKey + which, ofExtra = Scores::readExtra + which;
#pragma unroll
    for (int n = 0; n <= 2 * step; n += 2) {
      const MmaB2 key = loadB(this->scores(ofKeys), 16 * step, 8 * n, lane);
      mma(written[n], written[n + 1], queries.high, key);
      if constexpr (Kind::own) {
        mma(written[n], written[n + 1], queries.low, key);
        mma(written[n], written[n + 1], queries.high, this->lowOfQueries(ofKeys, step, n / 2));
      } else {
        const MmaB2 other = loadB(this->scores(ofExtra), 16 * step, 8 * n, lane);
        mma(extra[n], extra[n + 1], queries.high, other);
        mma(written[n], written[n + 1], queries.low, key);
        mma(extra[n], extra[n + 1], queries.low, other);
        mma(written[n], written[n + 1], queries.high, this->lowOfQueries(ofKeys, step, n / 2));
        mma(extra[n], extra[n + 1], queries.high, this->lowOfQueries(ofExtra, step, n / 2));
      }
    }
  }
};

}  // namespace longscan
