#pragma once

#include "gradient_channels.cuh"

namespace longscan {

/// A warp's 16 channels pair by pair, in f32, where one of them decays by more than 2^-192 within a chunk:
/// the decay between two tokens is a product of factors that are at most one, and nothing is met behind where
/// it is zero. Half a warp has the channels; sums go to the threads that have them through the place of dg,
/// which is written last.
///
/// Out of line, since what lies between that a warp goes through for every chunk makes it wait for its code.
template <typename Kind>
class DplrSteepPairs {
  using Layout = DplrGradientLayout<Kind>;
  static constexpr int tokenBytes = Layout::panel;

  const float* gates;  // of the lane's channel and the chunk's first token
  float* left;         // likewise
  int64_t pitch;       // from token to token
  uint32_t scores, lows, tokens, beta;
  int column, half, low, high;
  bool exists;  // the channel

 public:
  __device__ DplrSteepPairs(const float* gates, float* left, int64_t pitch, uint32_t base, int warp, int lane,
                            const Piece& piece, bool exists)
      : gates(gates),
        left(left),
        pitch(pitch),
        scores(base + Layout::scores),
        lows(base + Layout::lows),
        tokens(base + Layout::tokens + warp / 4 * Layout::tile),
        beta(base + Layout::beta),
        column(16 * (warp % 4) + lane % 16),
        half(lane / 16),
        low(piece.low),
        high(piece.high),
        exists(exists) {}

  /// What keys give to reads: 0, of q; 1, of b.
  static __device__ __noinline__ void leaveKeys(const DplrSteepPairs own, int which) {
    for (int i = own.low + own.half; i < own.high; i += 2) {
      float sum = 0.0f, decay = 1.0f;
      for (int j = i - which; decay > 0.0f && j >= own.low; j--) {
        float met = own.score(which, i, j) * loadSharedFloat(own.beta + 4 * j) * own.token(2, j);
        if (!Kind::own) met += own.score(2 + which, i, j) * own.token(3, j);
        sum += decay * met;
        decay *= own.decayOf(j);
      }
      own.leave(i, sum);
    }
  }

  /// What reads give to what is written: 0, beta k; 1, e.
  static __device__ __noinline__ void leaveReads(const DplrSteepPairs own, int which) {
    for (int j = own.low + own.half; j < own.high; j += 2) {
      float sum = own.score(2 * which, j, j) * own.token(0, j), decay = 1.0f;
      for (int i = j + 1; decay > 0.0f && i < own.high; i++) {
        sum += decay * own.score(2 * which + 1, i, j) * own.token(1, i);
        decay *= own.decayOf(i);
        sum += decay * own.score(2 * which, i, j) * own.token(0, i);
      }
      own.leave(j, sum);
    }
  }

 private:
  static __device__ float numberAt(Tile<64> tile, int row, int column) {
    const uint32_t both = loadShared(tile.address(row, column / 8) + column % 8 / 2 * 4);
    return column % 2 ? highHalf(both) : lowHalf(both);
  }
  __device__ float score(int which, int i, int j) const {
    const Tile<64> square{scores + which * Layout::tile};
    const int inRow = i % 16, inColumn = j % 16;
    const float low = i / 16 == j / 16 ? numberAt(Tile<64>{lows}, i, 16 * which + inColumn)
                                       : numberAt(square, j - inColumn + inRow, i - inRow + inColumn);
    return numberAt(square, i, j) + low;
  }
  __device__ float token(int which, int row) const {
    return numberAt(Tile<64>{tokens + which * tokenBytes}, row, column);
  }
  __device__ float decayOf(int row) const {
    constexpr float log2e = 1.4426950408889634f;
    return exists ? exp2Fast(log2e * gates[row * pitch]) : 1.0f;
  }
  __device__ void leave(int row, float sum) const {
    if (exists) left[row * pitch] = sum;
  }
};

/// Where channels decay too far for products, the sums of `DplrSteepPairs`.
template <typename Kind>
class DplrGradientSteep : protected DplrGradientChannels<Kind> {
  using Channels = DplrGradientChannels<Kind>;
  using Pairs = DplrSteepPairs<Kind>;

 protected:
  using Channels::Channels, Channels::lane, Channels::pair, Channels::slice, Channels::warp;
  using typename Channels::Layout;

  __device__ void addSteepKeys(Sums& sum, int which) const {
    __syncwarp();
    Pairs::leaveKeys(pairs(), which);
    collect(sum);
  }
  __device__ void addSteepReads(Sums& sum, int which) const {
    __syncwarp();
    Pairs::leaveReads(pairs(), which);
    collect(sum);
  }

 private:
  __device__ int64_t place(int row, int channel) const {
    return this->rowOf(row) * slice.K + 16 * warp + channel;
  }
  __device__ Pairs pairs() const {
    const int64_t first = place(0, lane % 16);
    return {slice.g + first,
            this->call.io.dg + first,
            static_cast<int64_t>(slice.H) * slice.K,
            this->base,
            warp,
            lane,
            this->piece,
            16 * warp + lane % 16 < slice.K};
  }

  __device__ void collect(Sums& sum) const {
    __syncwarp();
#pragma unroll
    for (int n = 0; n < 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = 8 * n + pair + i % 2;
        if (this->has(row) && this->channelOf(i / 2) < slice.K)
          sum[n][i] += this->call.io.dg[place(row, this->group + i / 2 * 8)];
      }
    }
  }
};

}  // namespace longscan
