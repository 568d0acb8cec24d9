#pragma once

#include "cuda/warpgroup.cuh"
#include "cuda_lane.cuh"

// A diagonal gate inside a chunk of 64 tokens. Sub-chunks of 16: c are the sums of log2 decays from a
// sub-chunk's start up to and with a token, `total` those of a whole sub-chunk. From token j to a later i of
// another sub-chunk the decay is 2^(total - c_j), then 2^total of the sub-chunks between, then 2^c_i: factors
// of at most one, whatever the gates are. Inside a sub-chunk it is 2^c_i 2^-c_j as long as `deepest` holds
// both, else 2^(c_i - c_j) pair by pair.

namespace longscan {

constexpr int subTokens = 16;
constexpr int numSubs = tileTokens / subTokens;
constexpr int diagonalThreads = 128;
/// A product of two factors 2^80 and 2^-80 with numbers of ordinary size is far from both ends of f32.
constexpr float deepest = -80.0f;

/// f32 [64, 64] in shared memory. With a pitch of 72 the rows lane/4 and pairs 2 * (lane % 4) of a fragment
/// lie in different banks, with 68 the rows 2 * (lane % 4) and columns lane/4.
template <int rowPitch>
struct FloatPanel {
  static constexpr int pitch = rowPitch;
  static constexpr int bytes = tileTokens * pitch * 4;
  float* base;

  __device__ float& at(int row, int column) const { return base[row * pitch + column]; }
  __device__ float2& pairAt(int row, int column) const {
    return *reinterpret_cast<float2*>(base + row * pitch + column);
  }
  __device__ uint32_t bitsAt(int row, int column) const { return __float_as_uint(at(row, column)); }
  __device__ uint2 pairBitsAt(int row, int column) const {
    return *reinterpret_cast<const uint2*>(base + row * pitch + column);
  }
};
using GatePanel = FloatPanel<72>;

/// Per sub-chunk and channel, [numSubs, 64] each.
struct SubDecays {
  static constexpr int bytes = 4 * numSubs * 64 * 4;
  float* base;

  __device__ float* totals(int sub) const { return base + 64 * sub; }
  /// 2^total
  __device__ float* decays(int sub) const { return base + 64 * (numSubs + sub); }
  /// The decay of the sub-chunks before, and of those after.
  __device__ float* before(int sub) const { return base + 64 * (2 * numSubs + sub); }
  __device__ float* after(int sub) const { return base + 64 * (3 * numSubs + sub); }
};

/// Starts to fill `c` with the gates of a piece, 64 channels from `channel` on of [T, .., K].
__device__ inline void fillGates(GatePanel c, const float* from, int64_t pitch, int channel, int K,
                                 const TileRows& rows) {
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int row = threadIdx.x / 16 + 8 * i, column = threadIdx.x % 16 * 4;
    const bool valid = rows.has(row) && channel + column < K;
    copyAsync16(sharedAddress(&c.at(row, column)),
                valid ? from + (rows.first + row) * pitch + channel + column : from, valid);
  }
}

/// Gates in `c` become sums in log2. Needs a barrier before `fillDecays`.
__device__ inline void sumSubGates(GatePanel c, SubDecays subs) {
  constexpr float log2e = 1.4426950408889634f;
  const int channel = threadIdx.x % 64;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int sub = 2 * (threadIdx.x / 64) + i;
    float sum = 0.0f;
#pragma unroll
    for (int row = 0; row < subTokens; row++) {
      float& at = c.at(subTokens * sub + row, channel);
      sum += at * log2e;
      at = sum;
    }
    subs.totals(sub)[channel] = sum;
  }
}

/// The rest of `subs` from the totals. Returns the decay of the whole chunk, of channel `threadIdx.x` % 64.
__device__ inline float fillDecays(SubDecays subs) {
  const int channel = threadIdx.x % 64;
  const bool forward = threadIdx.x < 64;
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < numSubs; i++) {
    const int sub = forward ? i : numSubs - 1 - i;
    const float total = subs.totals(sub)[channel];
    (forward ? subs.before(sub) : subs.after(sub))[channel] = exp2Fast(sum);
    if (forward) subs.decays(sub)[channel] = exp2Fast(total);
    sum += total;
  }
  return exp2Fast(sum);
}

/// Eight neighbours of a row in f32.
__device__ inline void loadEight(float (&to)[8], const float* from) {
#pragma unroll
  for (int i = 0; i < 8; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(from + i);
    to[i] = four.x;
    to[i + 1] = four.y;
    to[i + 2] = four.z;
    to[i + 3] = four.w;
  }
}
__device__ inline void loadEight(float (&to)[8], uint4 packed) {
  const uint32_t pairs[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = lowHalf(pairs[i]);
    to[2 * i + 1] = highHalf(pairs[i]);
  }
}
__device__ inline uint4 packEight(const float (&x)[8]) {
  return make_uint4(pack(x[0], x[1]), pack(x[2], x[3]), pack(x[4], x[5]), pack(x[6], x[7]));
}

/// Rounded to tf32.
__device__ inline void storeEight(float* to, const float (&x)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i += 4)
    *reinterpret_cast<uint4*>(to + i) =
        make_uint4(roundToTf32(x[i]), roundToTf32(x[i + 1]), roundToTf32(x[i + 2]), roundToTf32(x[i + 3]));
}

__device__ inline uint4 loadUnit(Tile<64> tile, int row, int unit) {
  uint4 value;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(tile.address(row, unit)));
  return value;
}

}  // namespace longscan
