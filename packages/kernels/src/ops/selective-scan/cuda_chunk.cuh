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

/// A pack on its way from memory, in whole words: one of halves the compiler would take apart as soon as it
/// has arrived, and wait for that.
template <typename Element, int count>
struct alignas(sizeof(Element) * count) RawPack {
  static_assert(sizeof(Element) * count % 4 == 0, "whole words");
  uint32_t words[sizeof(Element) * count / 4];

  __device__ float get(int i) const {
    if (sizeof(Element) == 4) return __uint_as_float(words[i]);
    return __uint_as_float(i % 2 ? words[i / 2] & 0xffff0000u : words[i / 2] << 16);
  }
};
template <int count, typename Element>
__device__ inline RawPack<Element, count> loadRaw(const Element* from) {
  return *reinterpret_cast<const RawPack<Element, count>*>(from);
}

/// The order in which a sweep takes the tokens [begin, begin + count) of a sequence, and where their rows
/// are.
template <bool backward>
struct TokenOrder {
  int64_t sequenceRow;  // that of the sequence's first token
  int begin, count;

  __device__ int token(int i) const { return backward ? begin + count - 1 - i : begin + i; }
  __device__ int64_t row(int i) const { return sequenceRow + token(i); }
};

/// Whether all rows of a chunk from `first` on and all channels of the block from `channel0` on are there, so
/// that accesses need no conditions.
template <bool backward>
__device__ inline bool isWhole(int64_t D, int64_t channel0, TokenOrder<backward> order, int first) {
  return first + chunkTokens <= order.count && channel0 + blockChannels <= D;
}

/// A thread's part of a chunk's rows of the block's channels: pairs of channels, 16 to a token.
template <typename Element, int threads>
struct ChannelPairs {
  static constexpr int perToken = blockChannels / 2, tokensApart = threads / perToken;
  static constexpr int count = chunkTokens / tokensApart;
  RawPack<Element, 2> pairs[count];

  static __device__ int token(int k) { return threadIdx.x / perToken + k * tokensApart; }
  static __device__ int channel() { return threadIdx.x % perToken * 2; }
  /// That of the thread's first pair in rows of D.
  template <bool backward>
  static __device__ int64_t offset(int64_t D, int64_t channel0, TokenOrder<backward> order, int first) {
    return order.row(first + token(0)) * D + channel0 + channel();
  }

  /// From [.., D]; zeros where there are no tokens or channels, which leave states as they are.
  template <bool backward>
  __device__ void load(const void* from, int64_t D, int64_t channel0, TokenOrder<backward> order, int first) {
    const Element* at = static_cast<const Element*>(from) + offset(D, channel0, order, first);
    const int64_t step = (backward ? -tokensApart : tokensApart) * D;
    if (isWhole(D, channel0, order, first)) {
#pragma unroll
      for (int k = 0; k < count; k++, at += step) pairs[k] = loadRaw<2>(at);
      return;
    }
#pragma unroll
    for (int k = 0; k < count; k++, at += step) {
      pairs[k] = {};
      if (first + token(k) < order.count && channel0 + channel() < D) pairs[k] = loadRaw<2>(at);
    }
  }
  __device__ float get(int k, int i) const {
    return pairs[k].get(i);
  }

  /// To [.., D], `value(token, channel)` for each.
  template <bool backward, typename F>
  static __device__ void store(void* to, int64_t D, int64_t channel0, TokenOrder<backward> order, int first,
                               F value) {
    Pack<Element, 2> pairs[count];
#pragma unroll
    for (int k = 0; k < count; k++)
#pragma unroll
      for (int i = 0; i < 2; i++) pairs[k].x[i] = fromFloat<Element>(value(token(k), channel() + i));
    Element* at = static_cast<Element*>(to) + offset(D, channel0, order, first);
    const int64_t step = (backward ? -tokensApart : tokensApart) * D;
    if (isWhole(D, channel0, order, first)) {
#pragma unroll
      for (int k = 0; k < count; k++, at += step) storePack<2>(at, pairs[k]);
      return;
    }
#pragma unroll
    for (int k = 0; k < count; k++, at += step)
      if (first + token(k) < order.count && channel0 + channel() < D) storePack<2>(at, pairs[k]);
  }
};

/// A thread's part of a chunk's B_t or C_t: S numbers at a time.
template <typename Element, int N, int S>
struct VectorParts {
  static constexpr int threads = LaneLayout<N, S>::threads, perToken = N / S;
  static constexpr int count = chunkTokens * perToken / threads;
  RawPack<Element, S> packs[count];

  static __device__ int token(int k) { return (threadIdx.x + k * threads) / perToken; }
  static __device__ int part(int k) { return (threadIdx.x + k * threads) % perToken; }

  template <bool backward>
  __device__ void load(const void* from, TokenOrder<backward> order, int first) {
#pragma unroll
    for (int k = 0; k < count; k++) {
      packs[k] = {};
      if (first + token(k) < order.count)
        packs[k] =
            loadRaw<S>(static_cast<const Element*>(from) + order.row(first + token(k)) * N + S * part(k));
    }
  }
  __device__ Floats<S> get(int k) const {
    Floats<S> values;
#pragma unroll
    for (int i = 0; i < S; i++) values.x[i] = packs[k].get(i);
    return values;
  }
};

/// Not 0 if a document starts at the chunk's token of this thread, one of the block's first `chunkTokens`.
template <bool backward>
__device__ inline int32_t loadStart(const int32_t* resets, TokenOrder<backward> order, int first) {
  const int own = first + threadIdx.x;
  return resets && threadIdx.x < chunkTokens && own < order.count ? resets[order.row(own)] : 0;
}
__device__ inline void putStarts(uint32_t* words, int32_t starts) {
  const unsigned word = __ballot_sync(~0u, starts != 0);
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
