#pragma once

#include "gradient_channels.cuh"

namespace longscan {

/// Where a channel decays by more than 2^-192 within a chunk, a warp takes its channels pair by pair, in f32:
/// the decay between two tokens is a product of factors that are at most one, and nothing is met behind where
/// it is zero. Half a warp has its 16 channels; sums go to the threads that have them through the place of
/// dg, which is written last.
template <typename Kind>
class DplrGradientSteep : protected DplrGradientChannels<Kind> {
  using Channels = DplrGradientChannels<Kind>;

 protected:
  using Channels::Channels, Channels::lane, Channels::pair, Channels::piece, Channels::slice, Channels::warp;
  using typename Channels::Layout;

  __device__ void addSteepKeys(Sums& sum, bool erases) const {
    const int ofKey = erases ? Channels::eraseKey : Channels::readKey,
              ofExtra = erases ? Channels::eraseExtra : Channels::readExtra;
    __syncwarp();
    for (int i = piece.low + lane / 16; i < piece.high; i += 2) {
      float own = 0.0f, decay = 1.0f;
      for (int j = erases ? i - 1 : i; decay > 0.0f && j >= piece.low; j--) {
        float met = score(ofKey, i, j) * this->betaOf(j) * token(Channels::key, j);
        if (!Kind::own) met += score(ofExtra, i, j) * token(Channels::extra, j);
        own += decay * met;
        decay *= decayOf(j);
      }
      leave(i, own);
    }
    collect(sum);
  }

  __device__ void addSteepQueries(Sums& sum, bool ofExtra) const {
    const int reads = ofExtra ? Channels::readExtra : Channels::readKey,
              erases = ofExtra ? Channels::eraseExtra : Channels::eraseKey;
    __syncwarp();
    for (int j = piece.low + lane / 16; j < piece.high; j += 2) {
      float own = score(reads, j, j) * token(Channels::query, j), decay = 1.0f;
      for (int i = j + 1; decay > 0.0f && i < piece.high; i++) {
        own += decay * score(erases, i, j) * token(Channels::eraser, i);
        decay *= decayOf(i);
        own += decay * score(reads, i, j) * token(Channels::query, i);
      }
      leave(j, own);
    }
    collect(sum);
  }

 private:
  static __device__ float numberAt(Tile<64> tile, int row, int column) {
    const uint32_t both = loadShared(tile.address(row, column / 8) + column % 8 / 2 * 4);
    return column % 2 ? highHalf(both) : lowHalf(both);
  }
  __device__ float score(int which, int i, int j) const {
    const int inRow = i % 16, inColumn = j % 16;
    const float low = i / 16 == j / 16
                          ? numberAt(this->lows(), i, 16 * which + inColumn)
                          : numberAt(this->scores(which), j - inColumn + inRow, i - inRow + inColumn);
    return numberAt(this->scores(which), i, j) + low;
  }
  __device__ float token(int which, int row) const {
    return numberAt(this->own(which), row, 16 * (warp % 4) + lane % 16);
  }
  __device__ bool exists() const { return 16 * warp + lane % 16 < slice.K; }
  __device__ float decayOf(int row) const {
    constexpr float log2e = 1.4426950408889634f;
    return exists() ? exp2Fast(log2e * slice.g[place(row, lane % 16)]) : 1.0f;
  }
  __device__ int64_t place(int row, int channel) const {
    return this->rowOf(row) * slice.K + 16 * warp + channel;
  }

  __device__ void leave(int row, float sum) const {
    if (exists()) this->call.io.dg[place(row, lane % 16)] = sum;
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
