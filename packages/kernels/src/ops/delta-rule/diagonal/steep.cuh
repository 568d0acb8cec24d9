#pragma once

#include "cuda/warpgroup_tf32.cuh"
#include "diagonal.cuh"

namespace longscan {

namespace {

/// Sums of log2 decays before each sub-chunk, and of all, of a panel's channels, in shared memory.
struct SubStarts {
  static constexpr int bytes = (numSubs + 1) * 64 * 4;
  uint32_t base;

  __device__ uint32_t address(int sub, int column) const { return base + (64 * sub + column) * 4; }
  __device__ float at(int sub, int column) const { return loadSharedFloat(address(sub, column)); }
  __device__ float2 pairAt(int sub, int column) const { return loadSharedFloat2(address(sub, column)); }
};

/// Keys decayed to the end of their sub-chunk, f32: 32 channels of all that have another sub-chunk behind
/// them. Units of eight channels are exchanged, so that four rows' pairs lie in different banks.
struct EndKeys {
  static constexpr int channels = 32, tokens = tileTokens - subTokens;
  static constexpr int bytes = tokens * channels * 4;
  uint32_t base;

  __device__ uint32_t address(int token, int channel) const {
    return base + (channels * token + (channel ^ (token & 3) << 3)) * 4;
  }
};

/// What is missing in scores of a panel of 64 channels that decays too far for two factors since the piece's
/// start: of a warp's tokens those channels, by sub-chunks. A row's numbers depend on the gates up to it
/// alone.
class SteepChannels {
  const Tf32Panel c;
  const SubStarts starts;
  const Tile<64> Q, K;
  const EndKeys endKeys;
  const DeltaLane at;
  const int token, sub;  // the thread's

 public:
  __device__ SteepChannels(Tf32Panel c, SubStarts starts, Tile<64> Q, Tile<64> K, EndKeys endKeys,
                           const DeltaLane& at, int token)
      : c(c), starts(starts), Q(Q), K(K), endKeys(endKeys), at(at), token(token), sub(at.warp / 2) {}

  /// Of the channels from `first` on; 256 threads together.
  __device__ void decayToEnds(int first) const {
    constexpr int units = EndKeys::channels / 4;
#pragma unroll 1
    for (int i = threadAnew(); i < EndKeys::tokens * units; i += diagonalThreads) {
      const int row = i / units, own = i % units * 4, column = first + own;
      float k[4], sum[4], start[4], end[4];
      loadFour(k, K, row, column);
      loadFour(sum, c.address(row, column / 4));
      loadFour(start, starts.address(row / subTokens, column));
      loadFour(end, starts.address(row / subTokens + 1, column));
#pragma unroll
      for (int j = 0; j < 4; j++) k[j] *= exp2Fast(fminf(end[j] - (start[j] + sum[j]), 0.0f));
      storeShared16(endKeys.address(row, own),
                    make_uint4(roundToTf32(k[0]), roundToTf32(k[1]), roundToTf32(k[2]), roundToTf32(k[3])));
    }
  }

  /// Adds the products with the keys up to each row, of the same channels.
  __device__ void addTo(Sums& scores, int first) const {
    // No row decays further than the last one. Sums that are not numbers count as steep.
    const float2 end = starts.pairAt(sub + 1, 2 * at.lane);
    if (__all_sync(~0u, end.x >= mildest && end.y >= mildest)) return;
    // The same number that rows are asked for: a difference of ends, rounded, may not be as far down as the
    // sum is.
    const float2 last = sumsAt(subTokens * sub + subTokens - 1, 2 * at.lane);
    const bool deep = !__all_sync(~0u, last.x >= 2 * deepest && last.y >= 2 * deepest);
#pragma unroll 1
    for (int own = at.pairOf; own < EndKeys::channels; own += 8) addUnit(scores, first, own);
    if (deep) addDeepTo(scores, first);
  }

 private:
  __device__ static float2 pairOf(Tile<64> tile, int row, int column) {
    const uint32_t both = loadShared(tile.address(row, column / 8) + column % 8 * 2);
    return make_float2(lowHalf(both), highHalf(both));
  }
  /// From the sub-chunk's start.
  __device__ float2 sumsAt(int row, int column) const {
    return loadSharedFloat2(c.address(row, column / 4) + column % 4 * 4);
  }

  /// Eight channels, of which the thread has a pair: `own` among those from `first` on.
  __device__ void addUnit(Sums& scores, int first, int own) const {
    const int column = first + own;
    const float2 start = starts.pairAt(sub, column), sum = sumsAt(token, column);
    const float near = factorOf(start.x, sum.x), far = factorOf(start.y, sum.y);
    // None of them is steep, as most are not.
    if (__all_sync(~0u, near == 0.0f && far == 0.0f)) return;
    float a[4];
    uint32_t inside[4];
    const bool holdsNear = sum.x >= 2 * deepest, holdsFar = sum.y >= 2 * deepest;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float2 x = pairOf(i == 0 ? Q : K, token, column);
      a[i] = x.x * near;
      a[i + 2] = x.y * far;
      inside[i] = holdsNear ? roundToTf32(a[i]) : 0;
      inside[i + 2] = holdsFar ? roundToTf32(a[i + 2]) : 0;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] *= fromStart;
    // Of the first sub-chunk's keys; others are whole rows of eight further.
    const uint32_t ends = anew(endKeys.address(at.group, own)),
                   keys = anew(K.address(at.group, column / 8) + column % 8 * 2),
                   sums = anew(c.address(at.group, column / 4) + column % 4 * 4);
#pragma unroll
    for (int other = numSubs - 1; other >= 0; other--) {
      if (other > sub) continue;
      if (other + 1 < sub) {
        const float2 from = starts.pairAt(other + 1, column), to = starts.pairAt(other + 2, column);
#pragma unroll
        for (int i = 0; i < 4; i++) a[i] *= exp2Fast(i < 2 ? to.x - from.x : to.y - from.y);
      }
      const uint32_t rounded[4] = {roundToTf32(a[0]), roundToTf32(a[1]), roundToTf32(a[2]),
                                   roundToTf32(a[3])};
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const int key = subTokens * other + 8 * n;
        if (other < sub) {
          const float2 end = loadSharedFloat2(ends + key * EndKeys::channels * 4);
          mmaTf32(scores[2 * other + n], rounded, __float_as_uint(end.x), __float_as_uint(end.y));
        } else {
          const uint32_t both = loadShared(keys + key * Tile<64>::pitch);
          const float2 from = loadSharedFloat2(sums + key * Tf32Panel::pitch);
          mmaTf32(scores[2 * other + n], inside,
                  roundToTf32(lowHalf(both) * exp2Fast(fminf(deepest - from.x, -deepest))),
                  roundToTf32(highHalf(both) * exp2Fast(fminf(deepest - from.y, -deepest))));
        }
      }
    }
  }

  /// The decay of a steep channel from the sub-chunk's start to the row, times 2^-deepest, so that two
  /// factors hold twice as much; zero of others.
  __device__ static float factorOf(float start, float sum) {
    return start + sum >= mildest ? 0.0f : exp2Fast(sum - deepest);
  }
  static constexpr float fromStart = 1.0f / (1ull << 40) / (1ull << 40);  // 2^deepest

  /// Inside the sub-chunk, channels that decay too far for two factors even there, in f32. What is above the
  /// diagonal is never used.
  __device__ void addDeepTo(Sums& scores, int first) const {
    float found[2][4] = {};
#pragma unroll 1
    for (int column = first; column < first + EndKeys::channels; column++) {
      const float start = starts.at(sub, column), sum = sumAt(token, column);
      if (start + sum >= mildest || sum >= 2 * deepest) continue;
      const float q = numberAt(Q, token, column), k = numberAt(K, token, column);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int key = subTokens * sub + 8 * (j / 2) + at.pairOf + j % 2;
        const float decayed = numberAt(K, key, column) * exp2Fast(fminf(sum - sumAt(key, column), 0.0f));
        found[j / 2][j % 2] += q * decayed;
        found[j / 2][2 + j % 2] += k * decayed;
      }
    }
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (n / 2 == sub) scores[n][i] += found[n % 2][i];
  }

  __device__ float sumAt(int row, int column) const {
    return loadSharedFloat(c.address(row, column / 4) + column % 4 * 4);
  }
  __device__ static float numberAt(Tile<64> tile, int row, int column) {
    const float2 both = pairOf(tile, row, column & ~1);
    return column & 1 ? both.y : both.x;
  }
};

}  // namespace

}  // namespace longscan
