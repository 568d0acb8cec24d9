#pragma once

#include "cuda.h"
#include "cuda/pack.cuh"

// A thread's channels of a convolution, from token to token.

namespace longscan {

/// A call whose data are of one type.
template <typename Element>
struct Conv {
  int64_t D;
  int T, W;
  bool silu;
  const Element *x, *halo;
  const float* taps;  // [W + 1, D]: the taps, then the bias
  const int32_t* resets;
  int runTokens;  // a thread's

  Conv(const LongscanCausalConv& call, const float* taps, int runTokens)
      : D(call.D),
        T(static_cast<int>(call.T)),
        W(call.W),
        silu(call.silu != 0),
        x(static_cast<const Element*>(call.x)),
        halo(static_cast<const Element*>(call.halo)),
        taps(taps),
        resets(call.resets),
        runTokens(runTokens) {}
};

/// `width` channels with up to `most` taps (fewer: the others are never in sight), and the tokens that taps
/// may read.
template <typename Element, int width, int most>
struct ConvChannels {
  const Conv<Element>& conv;
  float tap[most][width];  // tap[j] is for j tokens before
  float bias[width];
  float before[most][width];  // before[j]: j tokens before the present one
  int visible;                // so many tokens before the present one are of its document

  __device__ ConvChannels(const Conv<Element>& conv, int64_t b, int64_t channel, int begin)
      : conv(conv), visible(0) {
#pragma unroll
    for (int j = 0; j < most; j++) {
      const bool there = j < conv.W;
      unpack(loadPack<width>(conv.taps + (there ? conv.W - 1 - j : 0) * conv.D + channel), tap[j]);
#pragma unroll
      for (int i = 0; i < width; i++) tap[j][i] = there ? tap[j][i] : 0.0f;
    }
    unpack(loadPack<width>(conv.taps + conv.W * conv.D + channel), bias);
    bool reaches = true;
#pragma unroll
    for (int j = 0; j < most; j++)
#pragma unroll
      for (int i = 0; i < width; i++) before[j][i] = 0.0f;
#pragma unroll
    for (int j = 1; j < most; j++) {
      const int position = begin - j;
      reaches = reaches && j < conv.W && (position >= 0 || conv.halo);
      if (!reaches) continue;
      const Element* row = position >= 0 ? conv.x + (b * conv.T + position) * conv.D
                                         : conv.halo + ((b + 1) * (conv.W - 1) + position) * conv.D;
      unpack(loadPack<width>(row + channel), before[j - 1]);
      visible = j;
      if (position >= 0 && conv.resets && conv.resets[b * conv.T + position]) reaches = false;
    }
  }

  template <typename Stored>
  static __device__ void unpack(const Pack<Stored, width>& pack, float (&values)[width]) {
#pragma unroll
    for (int i = 0; i < width; i++) values[i] = toFloat(pack.x[i]);
  }

  /// Makes `x` the present token, `starts` if a document begins there.
  __device__ void advance(const Pack<Element, width>& x, bool starts) {
#pragma unroll
    for (int j = most - 1; j > 0; j--)
#pragma unroll
      for (int i = 0; i < width; i++) before[j][i] = before[j - 1][i];
    unpack(x, before[0]);
    if (starts) visible = 0;
  }

  /// After the present token: the next one sees one more, up to W - 1.
  __device__ void leave() {
    visible = min(visible + 1, conv.W - 1);
  }

  /// bias + taps at the present token.
  __device__ void sum(float (&z)[width]) const {
#pragma unroll
    for (int i = 0; i < width; i++) z[i] = bias[i];
#pragma unroll
    for (int j = 0; j < most; j++)
      if (j <= visible)
#pragma unroll
        for (int i = 0; i < width; i++) z[i] = fmaf(tap[j][i], before[j][i], z[i]);
  }
};

__device__ inline float sigmoid(float z) {
  return __fdividef(1.0f, 1.0f + __expf(-z));
}

}  // namespace longscan
