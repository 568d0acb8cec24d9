#pragma once

#include "../chunkwise/lane.cuh"
#include "cuda/warpgroup.cuh"

// A diagonal gate inside a chunk of 64 tokens, with c the sums of log2 decays from the piece's start up to
// and with a token. From token j to a later i the decay is 2^c_i 2^-c_j, as long as `mildest` holds both.
// Where c begins makes no difference to that: in `prepare` and in the gradients of whole chunks it begins
// above zero, and holds what decays twice as far. Above the diagonal, where nobody reads, a product may then
// be infinite or NaN. A chunk that decays further in some channel is taken by sub-chunks of 16, whose sums
// begin anew: from token j to i of another sub-chunk the decay is that from j to its sub-chunk's end, then
// those of the sub-chunks between, then that from its own start to i, factors of at most one whatever the
// gates are; inside a sub-chunk it is two factors again as long as `deepest` holds both, else 2^(c_i - c_j)
// pair by pair.

namespace longscan {

constexpr int subTokens = 16;
constexpr int numSubs = tileTokens / subTokens;
constexpr int diagonalThreads = 256;  // two warpgroups
/// Products of two factors 2^96 and 2^-96 with numbers of ordinary size are far from both ends of f32.
constexpr float mildest = -96.0f;
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
using PairPanel = FloatPanel<72>;

/// Sums of log2 decays by sub-chunk and channel, [.., 64].
struct SubDecays {
  static constexpr int bytes = (2 * numSubs + 1) * 64 * 4;
  float* base;

  /// Of a sub-chunk.
  __device__ float* totals(int sub) const { return base + 64 * sub; }
  /// Of those before it; of `numSubs`, of all.
  __device__ float* starts(int sub) const { return base + 64 * (numSubs + sub); }
};

/// Starts to fill `c` with the gates of a piece, 64 channels from `channel` on of [T, .., K].
__device__ inline void fillGates(PairPanel c, const float* from, int64_t pitch, int channel, int K,
                                 const TileRows& rows) {
#pragma unroll
  for (int i = 0; i < tileTokens * 16 / diagonalThreads; i++) {
    const int row = threadIdx.x / 16 + diagonalThreads / 16 * i, column = threadIdx.x % 16 * 4;
    const bool valid = rows.has(row) && channel + column < K;
    copyAsync16(sharedAddress(&c.at(row, column)),
                valid ? from + (rows.first + row) * pitch + channel + column : from, valid);
  }
}

/// Gates in `c` become sums in log2; a thread of the block has one channel of a sub-chunk.
__device__ inline void sumGates(PairPanel c, SubDecays subs, int thread) {
  static_assert(diagonalThreads == 64 * numSubs, "a channel of a sub-chunk each");
  constexpr float log2e = 1.4426950408889634f;
  const int channel = thread % 64, own = thread / 64;
  float sums[subTokens], sum = 0.0f;
#pragma unroll
  for (int i = 0; i < subTokens; i++) sums[i] = c.at(subTokens * own + i, channel);
#pragma unroll
  for (int i = 0; i < subTokens; i++) sums[i] = sum += sums[i] * log2e;
  subs.totals(own)[channel] = sum;
  __syncthreads();
  float before = 0.0f, all = 0.0f;
#pragma unroll
  for (int sub = 0; sub < numSubs; sub++) {
    if (sub == own) before = all;
    all += subs.totals(sub)[channel];
  }
#pragma unroll
  for (int i = 0; i < subTokens; i++) c.at(subTokens * own + i, channel) = before + sums[i];
  subs.starts(own)[channel] = before;
  if (own == 0) subs.starts(numSubs)[channel] = all;
  __syncthreads();
}

/// Behind `sumGates`: whether all channels of the piece are mild. Each warp looks at all of them.
__device__ inline bool areMild(SubDecays subs, int lane) {
  const float2 all = reinterpret_cast<const float2*>(subs.starts(numSubs))[lane];
  return __all_sync(~0u, all.x >= mildest && all.y >= mildest);
}

/// Four neighbours of a row in f32, from f32 or bf16.
__device__ inline void loadFour(float (&to)[4], const float* from) {
  const float4 four = *reinterpret_cast<const float4*>(from);
  to[0] = four.x;
  to[1] = four.y;
  to[2] = four.z;
  to[3] = four.w;
}
__device__ inline void loadFour(float (&to)[4], uint32_t address) {
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3])
               : "r"(address));
}
__device__ inline void loadFourHalves(float (&to)[4], uint32_t address) {
  uint32_t low, high;
  asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(low), "=r"(high) : "r"(address));
  to[0] = lowHalf(low);
  to[1] = highHalf(low);
  to[2] = lowHalf(high);
  to[3] = highHalf(high);
}
__device__ inline void loadFour(float (&to)[4], Tile<64> tile, int row, int column) {
  loadFourHalves(to, tile.address(row, column / 8) + column % 8 * 2);
}

__device__ inline uint2 packFour(const float (&x)[4]) {
  return make_uint2(pack(x[0], x[1]), pack(x[2], x[3]));
}

/// Four neighbours to a tile.
__device__ inline void storeShared(uint32_t address, uint2 four) {
  asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"r"(address), "r"(four.x), "r"(four.y) : "memory");
}
__device__ inline void storeShared(Tile<64> tile, int row, int column, uint2 four) {
  storeShared(tile.address(row, column / 8) + column % 8 * 2, four);
}

/// Four matrices of eight rows of 16 bytes, each laid out as in an operand; lane 8 i + j has the address of
/// row j of matrix i.
__device__ inline void storeMatrices(uint32_t address, const uint32_t (&x)[4], int lane) {
#if __CUDA_ARCH__ >= 900
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(address), "r"(x[0]),
               "r"(x[1]), "r"(x[2]), "r"(x[3])
               : "memory");
#else
#pragma unroll
  for (int i = 0; i < 4; i++) storeShared(__shfl_sync(~0u, address, 8 * i + lane / 4) + 4 * (lane & 3), x[i]);
#endif
}

/// Rounded to tf32.
__device__ inline void storeFour(float* to, const float (&x)[4]) {
  *reinterpret_cast<uint4*>(to) =
      make_uint4(roundToTf32(x[0]), roundToTf32(x[1]), roundToTf32(x[2]), roundToTf32(x[3]));
}

}  // namespace longscan
