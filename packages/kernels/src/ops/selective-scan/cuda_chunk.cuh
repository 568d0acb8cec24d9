#pragma once

#include "cuda.h"
#include "cuda/pack.cuh"
#include "cuda_sweep.h"

// What the sweeps and the gradient share. A block has 32 channels and goes through its tokens a chunk at a
// time, from shared memory; a lane has four numbers of a channel's state in registers, side by side, so that
// `lanes` neighbours make up a channel.

namespace longscan {

constexpr int statesPerLane = 4;

template <int N>
constexpr int lanesPerChannel = N / statesPerLane;
template <int N>
constexpr int scanThreads = blockChannels* lanesPerChannel<N>;

constexpr float log2e = 1.4426950408889634f;

/// exp(delta A), given rateOf(A). To the last bit but one where data are f32, else by the hardware's
/// exponential.
template <typename Element>
__device__ inline float rateOf(float A) {
  return sizeof(Element) == 4 ? A : A * log2e;
}
template <typename Element>
__device__ inline float decayOf(float rate, float delta) {
  if (sizeof(Element) == 4) return expf(rate * delta);
  float decay;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(decay) : "f"(rate * delta));
  return decay;
}

/// Four numbers by index, as they are loaded.
struct alignas(16) Four {
  float x[4];
};

/// The order in which a sweep takes the tokens [begin, begin + count) of a sequence, and where their rows
/// are.
template <bool backward>
struct TokenOrder {
  int64_t sequenceRow;  // that of the sequence's first token
  int begin, count;

  __device__ int token(int i) const { return backward ? begin + count - 1 - i : begin + i; }
  __device__ int64_t row(int i) const { return sequenceRow + token(i); }
};

/// A thread's part of a chunk's rows of the block's channels: pairs of channels, 16 to a token.
template <typename Element, int N>
struct ChannelPairs {
  static constexpr int perToken = blockChannels / 2;
  static constexpr int count = chunkTokens * perToken / scanThreads<N>;
  Pack<Element, 2> pairs[count];

  static __device__ int token(int k) { return (threadIdx.x + k * scanThreads<N>) / perToken; }
  static __device__ int channel(int k) { return (threadIdx.x + k * scanThreads<N>) % perToken * 2; }

  /// From [.., D]; zeros where there are no tokens or channels, which leave states as they are.
  template <bool backward>
  __device__ void load(const void* from, int64_t D, int64_t channel0, TokenOrder<backward> order, int first) {
#pragma unroll
    for (int k = 0; k < count; k++) {
      pairs[k] = {};
      if (first + token(k) < order.count && channel0 + channel(k) < D)
        pairs[k] = loadPack<2>(static_cast<const Element*>(from) + order.row(first + token(k)) * D +
                               channel0 + channel(k));
    }
  }
  __device__ float get(int k, int i) const {
    return toFloat(pairs[k].x[i]);
  }

  /// To [.., D], `value(token, channel)` for each.
  template <bool backward, typename F>
  static __device__ void store(void* to, int64_t D, int64_t channel0, TokenOrder<backward> order, int first,
                               F value) {
#pragma unroll
    for (int k = 0; k < count; k++) {
      if (first + token(k) >= order.count || channel0 + channel(k) >= D) continue;
      Pack<Element, 2> pair;
#pragma unroll
      for (int i = 0; i < 2; i++) pair.x[i] = fromFloat<Element>(value(token(k), channel(k) + i));
      storePack<2>(static_cast<Element*>(to) + order.row(first + token(k)) * D + channel0 + channel(k), pair);
    }
  }
};

/// A thread's part of a chunk's B_t or C_t: four numbers at a time.
template <typename Element, int N>
struct VectorParts {
  static constexpr int perToken = lanesPerChannel<N>;
  static constexpr int count = chunkTokens * perToken / scanThreads<N>;
  Pack<Element, 4> packs[count];

  static __device__ int token(int k) { return (threadIdx.x + k * scanThreads<N>) / perToken; }
  static __device__ int part(int k) { return (threadIdx.x + k * scanThreads<N>) % perToken; }

  template <bool backward>
  __device__ void load(const void* from, TokenOrder<backward> order, int first) {
#pragma unroll
    for (int k = 0; k < count; k++) {
      packs[k] = {};
      if (first + token(k) < order.count)
        packs[k] =
            loadPack<4>(static_cast<const Element*>(from) + order.row(first + token(k)) * N + 4 * part(k));
    }
  }
  __device__ Four get(int k) const {
    Four values;
#pragma unroll
    for (int i = 0; i < 4; i++) values.x[i] = toFloat(packs[k].x[i]);
    return values;
  }
};

/// Whether a document starts at the chunk's token of this thread, one of the block's first `chunkTokens`.
template <bool backward>
__device__ inline bool loadStart(const int32_t* resets, TokenOrder<backward> order, int first) {
  const int own = first + threadIdx.x;
  return resets && threadIdx.x < chunkTokens && own < order.count && resets[order.row(own)];
}
__device__ inline void putStarts(uint32_t* words, bool starts) {
  const unsigned word = __ballot_sync(~0u, starts);
  if (threadIdx.x % 32 == 0 && threadIdx.x < chunkTokens) words[threadIdx.x / 32] = word;
}

/// Four tokens' sums over the lanes of a channel: lane `part` gets those of its 4 / lanes tokens, the first
/// 4 / lanes of `values`.
template <int lanes>
__device__ inline void sumOverParts(float (&values)[4], int part) {
#pragma unroll
  for (int mask = lanes / 2, half = 2; mask > 0; mask /= 2, half /= 2) {
    const bool high = part & mask;
#pragma unroll
    for (int i = 0; i < half; i++) {
      const float kept = high ? values[i + half] : values[i], sent = high ? values[i] : values[i + half];
      values[i] = kept + __shfl_xor_sync(~0u, sent, mask);
    }
  }
}

}  // namespace longscan
