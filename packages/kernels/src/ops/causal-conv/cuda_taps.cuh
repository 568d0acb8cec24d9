#pragma once

#include <algorithm>

#include "cuda.h"
#include "cuda/async_copy.cuh"
#include "cuda/pack.cuh"

// A thread's channels of a convolution of up to eight taps, and what of the sequence its tokens see.

namespace longscan {

/// A call whose data are of one type, and how threads share it: a run of tokens has `heads * lanes` of them,
/// those of a head side by side, each with some neighbouring channels.
template <typename Element>
struct Conv {
  int64_t B, D;
  int T, W;
  bool silu, weightIsBf16;
  const Element *x, *halo;
  const void *weight, *bias;
  const int32_t* resets;
  float* rstd;  // [B, T, heads]
  float eps;
  int heads, headSize, lanes;
  int runTokens, runs;  // of a sequence

  Conv(const LongscanCausalConv& call, int lanes, int runTokens)
      : B(call.B),
        D(call.D),
        T(static_cast<int>(call.T)),
        W(call.W),
        silu(call.silu != 0),
        weightIsBf16(call.weightType == longscanElementBf16),
        x(static_cast<const Element*>(call.x)),
        halo(static_cast<const Element*>(call.halo)),
        weight(call.weight),
        bias(call.bias),
        resets(call.resets),
        rstd(call.rstd),
        eps(call.eps),
        heads(call.headSize ? static_cast<int>(call.D / call.headSize) : 1),
        headSize(static_cast<int>(call.headSize ? call.headSize : call.D)),
        lanes(lanes),
        runTokens(runTokens),
        runs((T + runTokens - 1) / runTokens) {}

  __device__ int64_t row(int64_t b, int position) const { return b * T + position; }
  /// The channel's place in a row of x, or of the halo for a position before 0.
  __device__ const Element* at(int64_t b, int position, int64_t channel) const {
    return position >= 0 ? x + row(b, position) * D + channel
                         : halo + ((b + 1) * (W - 1) + position) * D + channel;
  }
  __device__ bool has(int position) const {
    return position < T && (position >= 0 || (halo != nullptr && position > -W));
  }
};

/// The run and the channels of the calling thread.
template <int width>
struct ConvThread {
  int64_t run, b, channel;
  int head, lane;
  int begin;
  bool isActive;

  template <typename Element>
  __device__ explicit ConvThread(const Conv<Element>& conv) {
    const auto unit = static_cast<int>(unitNumber());
    run = rowNumber();
    b = run / conv.runs;
    begin = static_cast<int>(run % conv.runs) * conv.runTokens;
    head = unit / conv.lanes, lane = unit % conv.lanes;
    channel = static_cast<int64_t>(head) * conv.headSize + lane * width;
    isActive = head < conv.heads && lane * width < conv.headSize && b < conv.B;
  }
};

/// Of a block.
constexpr int convThreads = 128;
/// That a thread takes at once.
constexpr int convTokens = 4;

/// The threads of a run are side by side in a block, or fill blocks of their own.
struct ConvGrid {
  dim3 grid, block;

  template <typename Element>
  explicit ConvGrid(const Conv<Element>& conv) {
    const int64_t units = static_cast<int64_t>(conv.heads) * conv.lanes, rows = conv.B * conv.runs;
    unsigned unitsPerBlock = 1;
    while (unitsPerBlock < units && unitsPerBlock < convThreads) unitsPerBlock *= 2;
    block = dim3(unitsPerBlock, convThreads / unitsPerBlock);
    grid = dim3(static_cast<unsigned>((rows + block.y - 1) / block.y),
                static_cast<unsigned>((units + block.x - 1) / block.x));
  }
};

/// Neighbouring channels of a thread, where rows are so many.
constexpr int convWidth = 4;

inline int convWidthOf(const LongscanCausalConv& call) {
  return call.D % convWidth == 0 ? convWidth : 1;
}

/// Threads of a head: for a norm a power of two up to 64, so that two warps exchange sums; 0: it cannot be.
inline int convLanes(const LongscanCausalConv& call, int width) {
  if (call.headSize == 0) return static_cast<int>(call.D / width);
  if (call.headSize % width != 0) return 0;
  int lanes = 1;
  while (lanes * width < call.headSize) lanes *= 2;
  return lanes <= 64 ? lanes : 0;
}

/// Tokens of a run, by the shape alone: as many whole waves of a large GPU's threads as keep runs to 128
/// tokens.
inline int convRunTokens(const LongscanCausalConv& call, int width, int blocksAtOnce) {
  const int64_t heads = call.headSize ? call.D / call.headSize : 1;
  const int64_t threads = call.B * heads * convLanes(call, width);
  const int64_t runsAtOnce = std::max<int64_t>(1, int64_t{132} * convThreads * blocksAtOnce / threads);
  const int64_t waves = (call.T + runsAtOnce * 128 - 1) / (runsAtOnce * 128);
  const int64_t each = (call.T + runsAtOnce * waves - 1) / (runsAtOnce * waves);
  return static_cast<int>(std::max<int64_t>((each + convTokens - 1) / convTokens * convTokens, 16));
}

/// A thread's own place in shared memory for rows of `count` tensors on their way; what neighbours have lies
/// side by side.
template <typename Element, int width, int count, bool hasRstd>
class ConvRing {
  struct Step {
    Pack<Element, width> rows[convTokens][count][convThreads];
    float rstd[hasRstd ? convTokens : 1][convThreads];
  };

 public:
  /// How many times as many rows as a thread takes at once: those at work and those on their way.
  static constexpr int steps = 3;
  static constexpr int bytes = steps * static_cast<int>(sizeof(Step));

  __device__ explicit ConvRing(char* memory)
      : steps_(reinterpret_cast<Step*>(memory)), thread_(threadIdx.y * blockDim.x + threadIdx.x) {}

  /// Sends for the rows from `first` on; zeros from `end` on.
  __device__ void fetch(int step, const Conv<Element>& conv, const Element* const (&from)[count],
                        const ConvThread<width>& place, int first, int end) const {
    Step& to = steps_[step % steps];
    const int64_t row = conv.row(place.b, first);
    int64_t at = row * conv.D + place.channel;
#pragma unroll
    for (int i = 0; i < convTokens; i++, at += conv.D) {
      const bool there = place.isActive && first + i < end;
#pragma unroll
      for (int k = 0; k < count; k++) copyAsync(&to.rows[i][k][thread_], from[k] + (there ? at : 0), there);
      if constexpr (hasRstd)
        copyAsync(&to.rstd[i][thread_], conv.rstd + (there ? (row + i) * conv.heads + place.head : 0), there);
    }
    commitCopies();
  }
  __device__ Pack<Element, width> row(int step, int i, int k) const {
    return steps_[step % steps].rows[i][k][thread_];
  }
  __device__ float rstd(int step, int i) const {
    return steps_[step % steps].rstd[i][thread_];
  }

 private:
  Step* const steps_;
  const unsigned thread_;
};

/// Taps and bias of a thread's channels; tap[j] is for j tokens before.
template <int width, int most>
struct ConvWeights {
  float tap[most][width], bias[width];

  template <typename Element>
  __device__ ConvWeights(const Conv<Element>& conv, const ConvThread<width>& thread) {
    if (conv.weightIsBf16)
      load(conv, thread, static_cast<const __nv_bfloat16*>(conv.weight),
           static_cast<const __nv_bfloat16*>(conv.bias));
    else
      load(conv, thread, static_cast<const float*>(conv.weight), static_cast<const float*>(conv.bias));
  }

 private:
  template <typename Element, typename Weight>
  __device__ void load(const Conv<Element>& conv, const ConvThread<width>& thread, const Weight* weight,
                       const Weight* biases) {
    const int W = conv.W;
#pragma unroll
    for (int c = 0; c < width; c++) {
      const Weight* from = weight + (thread.channel + c) * W;
      bias[c] = thread.isActive && biases ? toFloat(biases[thread.channel + c]) : 0.0f;
      if (W == 4 && most == 4) {
        Pack<Weight, 4> taps{};
        if (thread.isActive) taps = loadPack<4>(from);
#pragma unroll
        for (int j = 0; j < most; j++) tap[j][c] = toFloat(taps.x[(most - 1 - j) % 4]);
      } else {
#pragma unroll
        for (int j = 0; j < most; j++) tap[j][c] = thread.isActive && j < W ? toFloat(from[W - 1 - j]) : 0.0f;
      }
    }
  }
};

/// Where documents start among the positions before and at some tokens: bit i is for the first of them + i.
struct ConvStarts {
  unsigned bits = 0;

  template <typename Element>
  __device__ void read(const Conv<Element>& conv, int64_t b, int position, int bit) {
    if (conv.resets && position >= 0 && position < conv.T && conv.resets[conv.row(b, position)])
      bits |= 1u << bit;
  }
  /// How many tokens before `position`, whose bit this is, are of its document, of up to W - 1.
  template <int back, typename Element>
  __device__ int visible(const Conv<Element>& conv, int position, int bit) const {
    const int there = conv.halo ? conv.W - 1 : min(conv.W - 1, position);
    const unsigned near = bits >> (bit - back) & ((2u << back) - 1);
    return near == 0 ? there : min(there, back - (31 - __clz(static_cast<int>(near))));
  }
};

/// Sums over the threads of each head, some numbers at once: every one of those threads has the results. All
/// threads of a block call it together; the order is fixed.
template <int count>
class HeadSums {
 public:
  __device__ explicit HeadSums(int lanes) : lanes_(lanes) {}
  __device__ void operator()(float (&values)[count]) {
    for (int distance = min(lanes_, 32) / 2; distance > 0; distance /= 2)
#pragma unroll
      for (int i = 0; i < count; i++) values[i] += __shfl_xor_sync(~0u, values[i], distance);
    if (lanes_ <= 32) return;
    // Two places in turn: the one is read while the other is written.
    __shared__ float exchange[2][convThreads / 32][count];
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, warp = thread / 32;
    turn_ ^= 1;
    if (thread % 32 == 0)
#pragma unroll
      for (int i = 0; i < count; i++) exchange[turn_][warp][i] = values[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < count; i++) values[i] += exchange[turn_][warp ^ 1][i];
  }

 private:
  int lanes_, turn_ = 0;
};

template <typename Stored, int width>
__device__ void unpack(const Pack<Stored, width>& pack, float (&values)[width]) {
#pragma unroll
  for (int i = 0; i < width; i++) values[i] = toFloat(pack.x[i]);
}

__device__ inline float sigmoid(float z) {
  return __fdividef(1.0f, 1.0f + __expf(-z));
}

}  // namespace longscan
