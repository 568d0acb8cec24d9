#pragma once

#include "cuda/warpgroup_tf32.cuh"
#include "diagonal.cuh"

namespace longscan {

namespace {

/// What is missing in scores of a panel of 64 channels that decays too far for two factors since the piece's
/// start: of a warp's 16 rows those channels, by sub-chunks. A row's numbers depend on the gates up to it
/// alone.
class SteepChannels {
  const PairPanel c;
  const SubDecays subs;
  const Tile<64> X, K;
  const DeltaLane at;
  const int sub, row0;

 public:
  /// `X`: queries, or keys as erase keys.
  __device__ SteepChannels(PairPanel c, SubDecays subs, Tile<64> X, Tile<64> K, int thread)
      : c(c), subs(subs), X(X), K(K), at(thread), sub(at.warp % 4), row0(subTokens * sub) {}

  /// Keys decayed to the end of their sub-chunk; 256 threads together.
  __device__ void decayToEnds(PairPanel endKeys) const {
    const int column = at.lane % 16 * 4;
#pragma unroll 1
    for (int sub = 0; sub < numSubs; sub++) {
      const int row = subTokens * sub + 2 * at.warp + at.lane / 16;
      float k[4], sum[4], end[4];
      loadFour(k, K, row, column);
      loadFour(sum, &c.at(row, column));
      loadFour(end, subs.starts(sub + 1) + column);
#pragma unroll
      for (int i = 0; i < 4; i++) k[i] *= exp2Fast(fminf(end[i] - sum[i], 0.0f));
      storeFour(&endKeys.at(row, column), k);
    }
  }

  /// Adds the products with the keys up to each row.
  __device__ void addTo(Sums& scores, PairPanel endKeys) const {
    // No row decays further than the last one. Of gates that are not numbers, too.
    const float2 end = startOf(sub + 1, 2 * at.lane), start = startOf(sub, 2 * at.lane);
    if (__all_sync(~0u, fminf(end.x, end.y) >= mildest)) return;
    const bool deep = !__all_sync(~0u, fminf(end.x - start.x, end.y - start.y) >= 2 * deepest);
#pragma unroll 1
    for (int column = at.pairOf; column < 64; column += 8) addUnit(scores, endKeys, column);
    if (deep) addDeepTo(scores);
  }

 private:
  __device__ int row(int i) const {
    return row0 + at.group + 8 * i;
  }
  __device__ float2 startOf(int sub, int column) const {
    return *reinterpret_cast<const float2*>(subs.starts(sub) + column);
  }
  __device__ static float2 pairOf(Tile<64> tile, int row, int column) {
    const uint32_t both = loadShared(tile.address(row, column / 8) + column % 8 * 2);
    return make_float2(lowHalf(both), highHalf(both));
  }

  /// Eight channels, of which the thread has a pair.
  __device__ void addUnit(Sums& scores, PairPanel endKeys, int column) const {
    const float2 start = startOf(sub, column);
    float a[4];
    uint32_t own[4];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float2 x = pairOf(X, row(i), column), sum = c.pairAt(row(i), column);
      a[i] = of(x.x, sum.x, start.x);
      a[i + 2] = of(x.y, sum.y, start.y);
      own[i] = sum.x - start.x >= 2 * deepest ? roundToTf32(a[i]) : 0;
      own[i + 2] = sum.y - start.y >= 2 * deepest ? roundToTf32(a[i + 2]) : 0;
    }
    // None of them is steep, as most are not.
    if (__all_sync(~0u, a[0] == 0.0f && a[1] == 0.0f && a[2] == 0.0f && a[3] == 0.0f)) return;
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] *= fromStart;
#pragma unroll
    for (int other = numSubs - 1; other >= 0; other--) {
      if (other > sub) continue;
      if (other + 1 < sub) {
        const float2 from = startOf(other + 1, column), to = startOf(other + 2, column);
#pragma unroll
        for (int i = 0; i < 4; i++) a[i] *= exp2Fast(i < 2 ? to.x - from.x : to.y - from.y);
      }
      const uint32_t rounded[4] = {roundToTf32(a[0]), roundToTf32(a[1]), roundToTf32(a[2]),
                                   roundToTf32(a[3])};
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const int key = subTokens * other + 8 * n + at.group;
        if (other < sub) {
          const uint2 end = endKeys.pairBitsAt(key, column);
          mmaTf32(scores[2 * other + n], rounded, end.x, end.y);
        } else {
          const float2 both = pairOf(K, key, column), sum = c.pairAt(key, column);
          mmaTf32(scores[2 * other + n], own,
                  roundToTf32(both.x * exp2Fast(fminf(start.x - sum.x + deepest, -deepest))),
                  roundToTf32(both.y * exp2Fast(fminf(start.y - sum.y + deepest, -deepest))));
        }
      }
    }
  }

  /// A steep channel of a row, decayed from its sub-chunk's start and times 2^-deepest, so that two factors
  /// hold twice as much.
  __device__ static float of(float x, float sum, float start) {
    return sum >= mildest ? 0.0f : x * exp2Fast(sum - start - deepest);
  }
  static constexpr float fromStart = 1.0f / (1ull << 40) / (1ull << 40);  // 2^deepest

  /// Inside the sub-chunk, channels that decay too far for two factors even there, in f32. What is above the
  /// diagonal is never used.
  __device__ void addDeepTo(Sums& scores) const {
    float found[2][4] = {};
#pragma unroll 1
    for (int column = 0; column < 64; column++) {
      const float start = subs.starts(sub)[column];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int key = row0 + 8 * (j / 2) + at.pairOf + j % 2;
        const float k = numberAt(K, key, column), from = c.at(key, column);
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const float sum = c.at(row(i), column);
          const float product = numberAt(X, row(i), column) * k * exp2Fast(fminf(sum - from, 0.0f));
          if (!(sum >= mildest) && !(sum - start >= 2 * deepest)) found[j / 2][2 * i + j % 2] += product;
        }
      }
    }
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (n / 2 == sub) scores[n][i] += found[n % 2][i];
  }

  __device__ static float numberAt(Tile<64> tile, int row, int column) {
    const float2 both = pairOf(tile, row, column & ~1);
    return column & 1 ? both.y : both.x;
  }
};

}  // namespace

}  // namespace longscan
