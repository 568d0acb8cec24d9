#pragma once

#include "../chunkwise/split.cuh"
#include "whole_block.cuh"

namespace longscan {

namespace {

#if LONGSCAN_WGMMA

/// One of four warpgroups: 64 channels of K (`panel`), and of the chunk's tokens the first or the last 32
/// (`half`). Sums have channels as rows and tokens as columns, so that what a token and a channel have to do
/// with each other, decays and gradients, lies in one thread, and decayed tokens are first operands in the
/// registers where they are made.
template <int half>
class WholeTokens {
 public:
  __device__ WholeTokens(const WholeBlock& block, int panel)
      : block(block), call(block.call), panel(panel), warp(at.warp % 4) {}

 protected:
  using Layout = WholeLayout;
  static constexpr int panelThreads = 256;
  static constexpr int halfTokens = tileTokens / 2;

  const WholeBlock& block;
  const DeltaDiagonalGradientCall& call;
  const DeltaLane at;
  const int panel;  // of K
  const int warp;   // in its warpgroup: rows, and channels of the panel, from 16 `warp` on
  NarrowSums query, erase, write;

  __device__ Tile<64> tile(int offset) const { return {block.base + offset}; }
  __device__ float* floats(int offset) const { return reinterpret_cast<float*>(block.shared + offset); }
  __device__ Tile<64> Q() const { return tile(Layout::queries + panel * Layout::panel); }
  __device__ Tile<64> K() const { return tile(Layout::keys + panel * Layout::panel); }
  /// Of scores, or of products of keys.
  __device__ Tile<64> weights(int turn, int ofKeys) const {
    return tile(Layout::weights + (2 * turn + ofKeys) * Layout::panel);
  }
  __device__ const float* beta(int turn) const {
    return floats(Layout::factors + turn * Layout::factorBytes);
  }
  __device__ float* firsts() const { return floats(Layout::firsts) + 64 * panel; }
  __device__ float* products(int turn) const {
    return floats(Layout::products + turn * Layout::productBytes) + 64 * panel;
  }
  __device__ float* totals(int sub) const { return floats(Layout::totals) + Layout::K * sub + 64 * panel; }
  __device__ float* behind(int ofHalf) const {
    return floats(Layout::behind) + Layout::K * ofHalf + 64 * panel;
  }

  /// The warpgroups of the panel meet.
  __device__ void meet() const { joinBarrier(2 + panel, panelThreads); }

  /// A thread has one channel of a sub-chunk: where its tokens' gates lie, one after the other.
  struct Column {
    uint32_t base;
    int channel, sub;

    __device__ uint32_t address(int i) const { return (base ^ (i % 8 << 4)) + 128 * i; }
  };
  __device__ Column column() const {
    const int thread = threadAnew(), channel = thread % 64, sub = 2 * half + thread / 64 % 2;
    return {block.base + Layout::gates + (2 * panel + channel / 32) * Layout::panel + 128 * subTokens * sub +
                4 * (channel % 32),
            channel, sub};
  }

  /// Gates become sums in log2, by channel, which begin as far above zero as they end below it.
  __device__ void sumGates() const {
    constexpr float log2e = 1.4426950408889634f;
    const Column own = column();
    float sums[subTokens], sum = 0.0f;
#pragma unroll
    for (int i = 0; i < subTokens; i++) sums[i] = loadSharedFloat(own.address(i));
#pragma unroll
    for (int i = 0; i < subTokens; i++) sums[i] = sum += sums[i] * log2e;
    totals(own.sub)[own.channel] = sum;
    meet();
    if (own.sub == 0) {
      float all = 0.0f;
#pragma unroll
      for (int sub = 0; sub < numSubs; sub++) all += totals(sub)[own.channel];
      firsts()[own.channel] = -0.5f * all;
    }
    meet();
    float before = firsts()[own.channel];
#pragma unroll
    for (int sub = 0; sub < numSubs - 1; sub++)
      if (sub < own.sub) before += totals(sub)[own.channel];
#pragma unroll
    for (int i = 0; i < subTokens; i++) storeShared(own.address(i), before + sums[i]);
    meet();
  }

  /// Where a thread's share of the sums of 16 tokens and the warp's 16 channels lies, as a first operand's:
  /// [0] and [1] its first channel's and token's and the next token's, [2] and [3] those of its other
  /// channel; the tokens 8 later lie 1024 bytes further.
  struct Sixteen {
    uint32_t first;

    __device__ uint32_t address(int i, bool next) const {
      return ((first ^ (i & 1) << 5) ^ (next ? 16 : 0)) + (next ? 128 : 0) + (i >> 1) * 1024;
    }
    /// Of a pair of the operand.
    __device__ float2 pair(int i) const {
      return make_float2(loadSharedFloat(address(i, false)), loadSharedFloat(address(i, true)));
    }
    __device__ void store(int i, float2 x) const {
      storeShared(address(i, false), x.x);
      storeShared(address(i, true), x.y);
    }
  };
  __device__ Sixteen sixteen(int step) const {
    const int unit = 4 * (warp & 1) + at.group / 4;
    return {block.base + Layout::gates + (2 * panel + warp / 2) * Layout::panel +
            128 * (16 * step + at.pairOf) + ((unit ^ at.pairOf) << 4) + 4 * (at.group % 4)};
  }
  __device__ MmaA operand(Tile<64> tile, int step) const {
    return loadATransposed(tile, 16 * step, 16 * warp, at.lane);
  }

  /// The states' parts, as they are where sums are zero, that of written keys with beta.
  __device__ void decayStates(int turn) {
    const float near = exp2Fast(-firsts()[16 * warp + at.group]),
                far = exp2Fast(-firsts()[16 * warp + at.group + 8]);
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const float2 b = *reinterpret_cast<const float2*>(beta(turn) + halfTokens * half + 8 * n + at.pairOf);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float decay = i < 2 ? near : far;
        query[n][i] *= decay;
        erase[n][i] *= decay;
        write[n][i] *= decay * (i % 2 == 0 ? b.x : b.y);
      }
    }
  }

  /// What queries and erase keys get from the keys up to them, those decayed back to where sums are zero. Of
  /// the own ones also what dg gets from behind the chunk, sum_j k_j o dk_j.
  __device__ void readKeys(int turn) {
    constexpr uint32_t rows = 128 * halfTokens * half;
    const Tile<64> scores{weights(turn, 0).base + rows}, products{weights(turn, 1).base + rows};
    float sums[2] = {};
#pragma unroll
    for (int i = 0; i < 2 * (half + 1); i++) {
      const int step = half == 0 ? i : i ^ 2;  // the own ones first
      const Sixteen sum = sixteen(step);
      const MmaA key = operand(K(), step);
      SplitA back;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float2 c = sum.pair(j);
        const float near = lowHalf(key.x[j]) * exp2Fast(-c.x), far = highHalf(key.x[j]) * exp2Fast(-c.y);
        back.set(j, near, far);
        if (i < 2) {
          const float* const own = &write[2 * i + j / 2][2 * (j % 2)];
          sums[j % 2] += near * own[0] + far * own[1];
        }
      }
      beginProducts();
      multiplyChannels(query, back.high, scores, step);
      multiplyChannels(query, back.low, scores, step);
      multiplyChannels(erase, back.high, products, step);
      multiplyChannels(erase, back.low, products, step);
      commitProducts();
      waitForProducts<1>();
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      sums[i] += __shfl_xor_sync(~0u, sums[i], 1);
      sums[i] += __shfl_xor_sync(~0u, sums[i], 2);
      if (at.pairOf == 0) behind(half)[16 * warp + at.group + 8 * i] = sums[i];
    }
  }

  /// What written keys get from the queries and erase keys after them, those decayed from where sums are
  /// zero.
  __device__ void readQueries(int turn) {
    constexpr uint32_t columns = 2 * halfTokens * half;
    const Tile<64> scores{weights(turn, 0).base + columns}, products{weights(turn, 1).base + columns};
#pragma unroll
    for (int step = 2 * half; step < 4; step++) {
      const Sixteen sum = sixteen(step);
      float2 into[4];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float2 c = sum.pair(j);
        into[j] = make_float2(exp2Fast(c.x), exp2Fast(c.y));
      }
#pragma unroll
      for (int ofKeys = 0; ofKeys < 2; ofKeys++) {
        const MmaA x = operand(ofKeys ? K() : Q(), step);
        SplitA on;
#pragma unroll
        for (int j = 0; j < 4; j++) on.set(j, lowHalf(x.x[j]) * into[j].x, highHalf(x.x[j]) * into[j].y);
        const Tile<64> weight = ofKeys ? products : scores;
        beginProducts();
        multiplyChannels<false, StoredB::columns>(write, on.high, weight, step);
        multiplyChannels<false, StoredB::columns>(write, on.low, weight, step);
        commitProducts();
        waitForProducts<1>();
      }
    }
  }

  /// From sums to gradients: those of queries and keys to the places of both, what those of gates are sums of
  /// to theirs, and shares of k . dk as written key.
  __device__ void finishTokens() const {
    float shares[8] = {};  // by own token
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int step = 2 * half + i;
      const Sixteen sum = sixteen(step);
      const MmaA q = operand(Q(), step), k = operand(K(), step);
      MmaA dq, dk;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int n = 2 * i + j / 2, first = 2 * (j % 2);
        const float2 c = sum.pair(j);
        float2 change;
        float queries[2], keys[2];
#pragma unroll
        for (int next = 0; next < 2; next++) {
          const float log = next ? c.y : c.x, into = exp2Fast(log), back = exp2Fast(-log);
          const float ownQuery = next ? highHalf(q.x[j]) : lowHalf(q.x[j]),
                      ownKey = next ? highHalf(k.x[j]) : lowHalf(k.x[j]);
          queries[next] = into * query[n][first + next];
          const float erased = into * erase[n][first + next], written = back * write[n][first + next];
          keys[next] = erased + written;
          (next ? change.y : change.x) = ownQuery * queries[next] + ownKey * (erased - written);
          shares[2 * n + next] += ownKey * written;
        }
        dq.x[j] = pack(queries[0], queries[1]);
        dk.x[j] = pack(keys[0], keys[1]);
        sum.store(j, change);
      }
      storeATransposed(Q(), 16 * step, 16 * warp, dq, at.lane);
      storeATransposed(K(), 16 * step, 16 * warp, dk, at.lane);
    }
    addShares(shares);
  }

  __device__ float* dots(int ofWarp) const {
    return floats(Layout::dots) + halfTokens * (4 * (2 * panel + half) + ofWarp);
  }

 private:
  /// Over the warp's channels: each step leaves a lane half of its numbers.
  __device__ void addShares(float (&x)[8]) const {
#pragma unroll
    for (int count = 4; count > 0; count /= 2) {
      const int distance = 4 * count;
      const bool upper = at.lane & distance;
#pragma unroll
      for (int i = 0; i < count; i++) {
        const float given = upper ? x[i] : x[i + count], own = upper ? x[i + count] : x[i];
        x[i] = own + __shfl_xor_sync(~0u, given, distance);
      }
    }
    // Of numbers 2 n + next, the lanes of a group have that of the group.
    dots(warp)[8 * (at.group / 2) + at.pairOf + at.group % 2] = x[0];
  }
};

#endif

}  // namespace

}  // namespace longscan
