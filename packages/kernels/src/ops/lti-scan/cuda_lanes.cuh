#pragma once

#include <type_traits>

#include "cuda/pack.cuh"
#include "cuda_plan.h"

// A thread's part of a channel, and the signals of some tokens on their way through shared memory.

namespace longscan {

struct ComplexNumber {
  float re, im;

  friend __device__ ComplexNumber operator+(ComplexNumber a, ComplexNumber b) {
    return {a.re + b.re, a.im + b.im};
  }
  friend __device__ ComplexNumber operator*(ComplexNumber a, ComplexNumber b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  /// conj(a) * b
  static __device__ ComplexNumber conjugateTimes(ComplexNumber a, ComplexNumber b) {
    return {a.re * b.re + a.im * b.im, a.re * b.im - a.im * b.re};
  }
  /// a + b * c
  static __device__ ComplexNumber addProduct(ComplexNumber a, ComplexNumber b, ComplexNumber c) {
    return {fmaf(b.re, c.re, fmaf(-b.im, c.im, a.re)), fmaf(b.re, c.im, fmaf(b.im, c.re, a.im))};
  }
  /// a + conj(b) * c
  static __device__ ComplexNumber addConjugateProduct(ComplexNumber a, ComplexNumber b, ComplexNumber c) {
    return {fmaf(b.re, c.re, fmaf(b.im, c.im, a.re)), fmaf(b.re, c.im, fmaf(-b.im, c.re, a.im))};
  }
};

/// A signal of real numbers has no imaginary parts, and no arithmetic is spent on them.
template <bool isComplex>
struct Signal {
  /// h + u
  static __device__ ComplexNumber add(ComplexNumber h, ComplexNumber u) {
    return isComplex ? h + u : ComplexNumber{h.re + u.re, h.im};
  }
  /// h + conj(a) * y
  static __device__ ComplexNumber addConjugateProduct(ComplexNumber h, ComplexNumber a, ComplexNumber y) {
    if (isComplex) return ComplexNumber::addConjugateProduct(h, a, y);
    return {fmaf(a.re, y.re, h.re), fmaf(-a.im, y.re, h.im)};
  }
  /// y + a * h
  static __device__ ComplexNumber addProduct(ComplexNumber y, ComplexNumber a, ComplexNumber h) {
    if (isComplex) return ComplexNumber::addProduct(y, a, h);
    return {fmaf(a.re, h.re, fmaf(-a.im, h.im, y.re)), 0.0f};
  }
};

/// Where a thread stands: `channel` of the call, numbers lane, lane + lanes, ... of it.
struct LtiPlace {
  int lane, own;  // own: channel within the block
  int64_t channel, b, segment, begin;
  int count;  // tokens

  __device__ LtiPlace(const LongscanLtiScan& call, const LtiPlan& plan)
      : lane(threadIdx.x % plan.lanes), own(threadIdx.x / plan.lanes) {
    const int64_t rest = blockIdx.x / plan.channelBlocks;
    channel = blockIdx.x % plan.channelBlocks * plan.channels + own;
    segment = rest % plan.numSegments;
    b = rest / plan.numSegments;
    begin = segment * plan.segmentTokens;
    count = static_cast<int>(min(plan.segmentTokens, call.T - begin));
  }

  /// visit(j, the place of this thread's j-th number in [C, N, 2]) for those that exist
  template <int perLane, typename Visit>
  __device__ void each(const LongscanLtiScan& call, const LtiPlan& plan, Visit&& visit) const {
#pragma unroll
    for (int j = 0; j < perLane; j++) {
      const int n = lane + j * plan.lanes;
      if (channel < call.C && n < call.N) visit(j, 2 * (channel * call.N + n));
    }
  }
  /// Numbers of [C, N, 2], zeros where there are none.
  template <int perLane>
  __device__ void load(const LongscanLtiScan& call, const LtiPlan& plan, const float* from,
                       ComplexNumber (&to)[perLane]) const {
#pragma unroll
    for (int j = 0; j < perLane; j++) to[j] = {0.0f, 0.0f};
    if (from == nullptr) return;
    each<perLane>(call, plan, [&](int j, int64_t at) { to[j] = {from[at], from[at + 1]}; });
  }
  template <int perLane>
  __device__ void store(const LongscanLtiScan& call, const LtiPlan& plan,
                        const ComplexNumber (&from)[perLane], float* to) const {
    each<perLane>(call, plan, [&](int j, int64_t at) { to[at] = from[j].re, to[at + 1] = from[j].im; });
  }
  /// lambda - 1: of a slow mode f32 keeps lambda to 6e-8 a step, always in the same direction; h + (lambda -
  /// 1) h rounds without a preference.
  template <int perLane>
  __device__ void loadLambda(const LongscanLtiScan& call, const LtiPlan& plan,
                             ComplexNumber (&lambda)[perLane]) const {
#pragma unroll
    for (int j = 0; j < perLane; j++) lambda[j] = {-1.0f, 0.0f};
    each<perLane>(call, plan, [&](int j, int64_t at) {
      const double re = call.logLambda[at], im = call.logLambda[at + 1], half = sin(im / 2);
      lambda[j] = {static_cast<float>(expm1(re) * cos(im) - 2 * half * half),
                   static_cast<float>(exp(re) * sin(im))};
    });
  }
  /// Where this segment of this batch row lies in [B, segments, C, N, 2].
  __device__ int64_t ofSegment(const LtiPlan& plan) const {
    return (b * plan.numSegments + segment) * plan.stateSize;
  }
};

/// Signals of a stage: [stage, channels] of each part, and where documents start.
template <bool isComplex>
struct LtiTile {
  static constexpr int parts = isComplex ? 2 : 1;
  float x[parts][ltiStage * ltiThreads];

  __device__ ComplexNumber at(int row, int channels, int own) const {
    return {x[0][row * channels + own], isComplex ? x[parts - 1][row * channels + own] : 0.0f};
  }
  __device__ void put(int row, int channels, int own, ComplexNumber value) {
    x[0][row * channels + own] = value.re;
    if (isComplex) x[parts - 1][row * channels + own] = value.im;
  }
};

/// A thread's part of a stage's signals. The stage's tokens are [first, first + ltiStage) of the segment's.
template <typename Element, bool isComplex>
struct LtiPart {
  static constexpr int parts = isComplex ? 2 : 1;
  Element x[parts][ltiStage];

  /// visit(i, row, channel in the block, place in [B, T, parts * C]) for what exists. A thread's rows are of
  /// one channel.
  template <typename Visit>
  static __device__ void each(const LongscanLtiScan& call, const LtiPlan& plan, const LtiPlace& place,
                              int first, Visit&& visit) {
    const int own = threadIdx.x % plan.channels, rows = min(ltiStage, place.count - first);
    const int64_t channel = place.channel - place.own + own, stride = parts * call.C;
    if (channel >= call.C) return;
    const int64_t begin = (place.b * call.T + place.begin + first) * stride + channel;
#pragma unroll
    for (int i = 0; i < ltiStage; i++) {
      const int row = threadIdx.x / plan.channels + i * plan.lanes;
      if (row < rows) visit(i, row, own, begin + row * stride);
    }
  }
  __device__ void load(const LongscanLtiScan& call, const LtiPlan& plan, const LtiPlace& place,
                       const void* from, int first) {
    each(call, plan, place, first, [&](int i, int, int, int64_t at) {
#pragma unroll
      for (int part = 0; part < parts; part++)
        x[part][i] = static_cast<const Element*>(from)[at + part * call.C];
    });
  }
  __device__ void put(const LongscanLtiScan& call, const LtiPlan& plan, const LtiPlace& place, int first,
                      LtiTile<isComplex>& to) const {
    each(call, plan, place, first, [&](int i, int row, int own, int64_t) {
#pragma unroll
      for (int part = 0; part < parts; part++) to.x[part][row * plan.channels + own] = toFloat(x[part][i]);
    });
  }
  static __device__ void store(const LongscanLtiScan& call, const LtiPlan& plan, const LtiPlace& place,
                               int first, const LtiTile<isComplex>& from, void* to) {
    each(call, plan, place, first, [&](int, int row, int own, int64_t at) {
#pragma unroll
      for (int part = 0; part < parts; part++)
        static_cast<Element*>(to)[at + part * call.C] =
            fromFloat<Element>(from.x[part][row * plan.channels + own]);
    });
  }
};

/// Over the lanes of a channel.
__device__ inline float sumOverLanes(float x, int lanes) {
  for (int distance = 1; distance < lanes; distance *= 2) x += __shfl_xor_sync(~0u, x, distance);
  return x;
}

/// Whether a document starts with each token of a stage, by bits.
__device__ inline unsigned startsOfStage(const LongscanLtiScan& call, const LtiPlace& place, int first) {
  if (call.resets == nullptr) return 0;
  const int row = threadIdx.x % 32;
  const bool there = row < ltiStage && first + row < place.count;
  return __ballot_sync(~0u, there && call.resets[place.b * call.T + place.begin + first + row] != 0);
}

/// visit(null pointer of the element type, whether signals are complex, numbers per lane), both as types
template <typename Visit>
cudaError_t withLtiKernel(const LongscanLtiScan& call, const LtiPlan& plan, Visit&& visit) {
  const auto ofSize = [&](auto* element, auto isComplex) {
    return plan.perLane == 1 ? visit(element, isComplex, std::integral_constant<int, 1>())
                             : visit(element, isComplex, std::integral_constant<int, 8>());
  };
  const auto ofSignal = [&](auto* element) {
    return call.complex ? ofSize(element, std::true_type()) : ofSize(element, std::false_type());
  };
  return call.type == longscanElementBf16 ? ofSignal(static_cast<__nv_bfloat16*>(nullptr))
                                          : ofSignal(static_cast<float*>(nullptr));
}

inline unsigned ltiBlocks(const LongscanLtiScan& call, const LtiPlan& plan) {
  return static_cast<unsigned>(call.B * plan.numSegments * plan.channelBlocks);
}

}  // namespace longscan
