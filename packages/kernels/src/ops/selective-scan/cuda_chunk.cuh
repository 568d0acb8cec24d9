#pragma once

#include "cuda.h"
#include "cuda/pack.cuh"
#include "cuda_sweep.h"

// What the sweeps and the gradient share. A block has 32 channels and goes through its tokens a chunk at a
// time, from shared memory; a lane has four numbers of a channel's state in registers, side by side, so that
// `lanes` neighbours make up a channel.

namespace longscan {

/// How N numbers of state lie over lanes: S to a lane.
template <int N, int S>
struct LaneLayout {
  static constexpr int lanes = N / S;  // of a channel
  static constexpr int threads = blockChannels * lanes;
  static constexpr int warps = threads / 32;
};

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

/// Neighbouring f32 numbers, by index.
template <int count>
using Floats = Pack<float, count>;

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
template <typename Element, int threads>
struct ChannelPairs {
  static constexpr int perToken = blockChannels / 2;
  static constexpr int count = chunkTokens * perToken / threads;
  Pack<Element, 2> pairs[count];

  static __device__ int token(int k) { return (threadIdx.x + k * threads) / perToken; }
  static __device__ int channel(int k) { return (threadIdx.x + k * threads) % perToken * 2; }

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

/// A thread's part of a chunk's B_t or C_t: S numbers at a time.
template <typename Element, int N, int S>
struct VectorParts {
  static constexpr int threads = LaneLayout<N, S>::threads, perToken = N / S;
  static constexpr int count = chunkTokens * perToken / threads;
  Pack<Element, S> packs[count];

  static __device__ int token(int k) { return (threadIdx.x + k * threads) / perToken; }
  static __device__ int part(int k) { return (threadIdx.x + k * threads) % perToken; }

  template <bool backward>
  __device__ void load(const void* from, TokenOrder<backward> order, int first) {
#pragma unroll
    for (int k = 0; k < count; k++) {
      packs[k] = {};
      if (first + token(k) < order.count)
        packs[k] =
            loadPack<S>(static_cast<const Element*>(from) + order.row(first + token(k)) * N + S * part(k));
    }
  }
  __device__ Floats<S> get(int k) const {
    Floats<S> values;
#pragma unroll
    for (int i = 0; i < S; i++) values.x[i] = toFloat(packs[k].x[i]);
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

/// Sums of `count` tokens over the lanes of a channel: lane `part` gets those of count / lanes tokens in
/// succession, the first ones of `values`.
template <int lanes, int count>
__device__ inline void sumOverParts(float (&values)[count], int part) {
  static_assert(count % lanes == 0, "every lane has as many");
#pragma unroll
  for (int mask = lanes / 2, half = count / 2; mask > 0; mask /= 2, half /= 2) {
    const bool high = part & mask;
#pragma unroll
    for (int i = 0; i < half; i++) {
      const float kept = high ? values[i + half] : values[i], sent = high ? values[i] : values[i + half];
      values[i] = kept + __shfl_xor_sync(~0u, sent, mask);
    }
  }
}

}  // namespace longscan
