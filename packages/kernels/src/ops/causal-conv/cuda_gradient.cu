#include <type_traits>

#include "cuda/sum_parts.cuh"
#include "cuda_short.h"
#include "cuda_taps.cuh"

namespace longscan {

namespace {

constexpr int threads = convThreads, atOnce = convTokens;
/// On a multiprocessor; threads then have 168 registers, or 255.
constexpr int blocksAtOnce(int most) {
  return most <= 4 ? 3 : 2;
}

template <typename Element>
struct Gradient {
  const Element* dy;
  Element *dx, *dHalo;
  ConvShares shares;
};

/// A thread goes through its run with time, and `most` - 1 tokens on, which the run's own positions reach.
/// With a = act(z) and, of a norm, y = a rstd: da = rstd (dy - y Σ y dy), dz = da act'(z).
template <typename Element, int width, int most, bool isNormed>
__global__ void __launch_bounds__(threads, blocksAtOnce(most))
    gradientKernel(const Conv<Element> conv, const Gradient<Element> io) {
  constexpr int back = most - 1, rows = back + atOnce;
  extern __shared__ __align__(16) char memory[];
  const ConvThread<width> thread(conv);
  const int begin = thread.begin, end = min(begin + conv.runTokens, conv.T), past = min(end + back, conv.T);
  using Ring = ConvRing<Element, width, 2, isNormed>;
  const Ring ring(memory);
  const auto fetch = [&](int step) {
    ring.fetch(step, conv, {conv.x, io.dy}, thread, begin + step * atOnce, past);
  };
#pragma unroll
  for (int step = 0; step < Ring::steps - 1; step++) fetch(step);
  const ConvWeights<width, most> weights(conv, thread);
  HeadSums<atOnce> sumOfHead(conv.lanes);
  // Of the `back` tokens before, and of those at work.
  float x[rows][width] = {}, dz[rows][width] = {};
  // Bit i is for position i of those and of `back` more in front.
  ConvStarts starts;
#pragma unroll
  for (int i = 0; i < back; i++) {
    const int position = begin - back + i;
    if (thread.isActive && conv.has(position))
      unpack(loadPack<width>(conv.at(thread.b, position, thread.channel)), x[i]);
    if (thread.isActive) starts.read(conv, thread.b, position, back + i);
  }
  float dTap[most][width] = {}, dBias[width] = {};

  // The same number of steps for all threads of the block.
  for (int step = 0; step <= (conv.runTokens + back - 1) / atOnce; step++) {
    const int first = begin + step * atOnce;
    if (conv.resets && thread.isActive)
#pragma unroll
      for (int i = 0; i < atOnce; i++) starts.read(conv, thread.b, first + i, 2 * back + i);
    awaitCopies<Ring::steps - 2>();
    fetch(step + Ring::steps - 1);
    const bool seesAll =
        conv.W == most && starts.bits == 0 && (first >= back || conv.halo) && first + atOnce <= conv.T;
    float a[atOnce][width], dots[atOnce] = {};
    const auto convolve = [&](auto all) {
#pragma unroll
      for (int i = 0; i < atOnce; i++) {
        unpack(ring.row(step, i, 0), x[back + i]);
        const int visible = all.value ? back : starts.visible<back>(conv, first + i, 2 * back + i);
#pragma unroll
        for (int c = 0; c < width; c++) a[i][c] = weights.bias[c];
#pragma unroll
        for (int j = 0; j < most; j++)
          if (all.value || j <= visible)
#pragma unroll
            for (int c = 0; c < width; c++) a[i][c] = fmaf(weights.tap[j][c], x[back + i - j][c], a[i][c]);
      }
    };
    if (isNormed || conv.silu) {
      if (seesAll)
        convolve(std::true_type());
      else
        convolve(std::false_type());
    } else {
#pragma unroll
      for (int i = 0; i < atOnce; i++) unpack(ring.row(step, i, 0), x[back + i]);
    }
#pragma unroll
    for (int i = 0; i < atOnce; i++) {
      float dy[width];
      unpack(ring.row(step, i, 1), dy);
#pragma unroll
      for (int c = 0; c < width; c++) {
        float slope = 1.0f;
        if (conv.silu) {
          const float s = sigmoid(a[i][c]);
          slope = s * (1.0f + a[i][c] * (1.0f - s));
          a[i][c] *= s;
        }
        if constexpr (isNormed) {
          dots[i] = fmaf(dy[c], a[i][c], dots[i]);
          a[i][c] *= slope;
        }
        dz[back + i][c] = dy[c] * slope;
      }
    }
    if constexpr (isNormed) {
      sumOfHead(dots);
#pragma unroll
      for (int i = 0; i < atOnce; i++) {
        const float rstd = ring.rstd(step, i), shift = rstd * rstd * rstd * dots[i];
#pragma unroll
        for (int c = 0; c < width; c++) dz[back + i][c] = rstd * dz[back + i][c] - a[i][c] * shift;
      }
    }
    const auto finish = [&](auto all) {
#pragma unroll
      for (int i = 0; i < atOnce; i++) {
        const int visible = all.value ? back : starts.visible<back>(conv, first + i, 2 * back + i);
        // After the end the sequence has no tokens, whatever those before it hold.
        if (!all.value && first + i >= conv.T)
#pragma unroll
          for (int c = 0; c < width; c++) dz[back + i][c] = 0.0f;
        if (first >= end) continue;
#pragma unroll
        for (int j = 0; j < most; j++)
          if (all.value || j <= visible)
#pragma unroll
            for (int c = 0; c < width; c++)
              dTap[j][c] = fmaf(dz[back + i][c], x[back + i - j][c], dTap[j][c]);
#pragma unroll
        for (int c = 0; c < width; c++) dBias[c] += dz[back + i][c];
      }
#pragma unroll
      for (int i = 0; i < atOnce; i++) {
        const int position = first - back + i;
        float dx[width] = {};
#pragma unroll
        for (int j = 0; j < most; j++)
          if (all.value || j <= starts.visible<back>(conv, position + j, back + i + j))
#pragma unroll
            for (int c = 0; c < width; c++) dx[c] = fmaf(weights.tap[j][c], dz[i + j][c], dx[c]);
        const bool inRun = position >= begin && position < end;
        const bool inHalo = io.dHalo && begin == 0 && position < 0 && position > -conv.W;
        if (!thread.isActive || (!inRun && !inHalo)) continue;
        Pack<Element, width> out;
#pragma unroll
        for (int c = 0; c < width; c++) out.x[c] = fromFloat<Element>(dx[c]);
        Element* row = inRun ? io.dx + conv.row(thread.b, position) * conv.D
                             : io.dHalo + ((thread.b + 1) * (conv.W - 1) + position) * conv.D;
        storePack<width>(row + thread.channel, out);
      }
    };
    if (seesAll)
      finish(std::true_type());
    else
      finish(std::false_type());
    starts.bits >>= atOnce;
#pragma unroll
    for (int i = 0; i < back; i++)
#pragma unroll
      for (int c = 0; c < width; c++) x[i][c] = x[atOnce + i][c], dz[i][c] = dz[atOnce + i][c];
  }
  if (!thread.isActive) return;
#pragma unroll
  for (int j = 0; j < most; j++) {
    if (j >= conv.W) continue;
    Pack<float, width> share;
#pragma unroll
    for (int c = 0; c < width; c++) share.x[c] = dTap[j][c];
    storePack<width>(io.shares.taps + (thread.run * conv.W + conv.W - 1 - j) * conv.D + thread.channel,
                     share);
  }
  if (conv.bias == nullptr) return;
  Pack<float, width> share;
#pragma unroll
  for (int c = 0; c < width; c++) share.x[c] = dBias[c];
  storePack<width>(io.shares.bias + thread.run * conv.D + thread.channel, share);
}

int runTokensOf(const LongscanCausalConv& call) {
  return convRunTokens(call, convWidthOf(call), blocksAtOnce(call.W <= 4 ? 4 : causalConvShortTaps));
}

template <typename Element, int width, int most, bool isNormed>
cudaError_t launch(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                   const ConvShares& shares, cudaStream_t stream) {
  const Conv<Element> conv(call, convLanes(call, width), runTokensOf(call));
  const Gradient<Element> gradient{static_cast<const Element*>(io.dy), static_cast<Element*>(io.dx),
                                   static_cast<Element*>(call.halo ? io.dHalo : nullptr), shares};
  const ConvGrid blocks(conv);
  const auto kernel = gradientKernel<Element, width, most, isNormed>;
  constexpr int bytes = ConvRing<Element, width, 2, isNormed>::bytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  kernel<<<blocks.grid, blocks.block, bytes, stream>>>(conv, gradient);
  return cudaGetLastError();
}

template <typename Element, int width, int most>
cudaError_t launch(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                   const ConvShares& shares, cudaStream_t stream) {
  return call.headSize ? launch<Element, width, most, true>(call, io, shares, stream)
                       : launch<Element, width, most, false>(call, io, shares, stream);
}

template <typename Element>
cudaError_t launch(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                   const ConvShares& shares, cudaStream_t stream) {
  const bool isShort = call.W <= 4;
  if (convWidthOf(call) == 1)
    return isShort ? launch<Element, 1, 4>(call, io, shares, stream)
                   : launch<Element, 1, causalConvShortTaps>(call, io, shares, stream);
  return isShort ? launch<Element, convWidth, 4>(call, io, shares, stream)
                 : launch<Element, convWidth, causalConvShortTaps>(call, io, shares, stream);
}

/// [W, D] to [D, W], and [D].
template <typename Weight>
cudaError_t sumShares(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                      const ConvShares& shares, cudaStream_t stream) {
  const cudaError_t error = launchSumParts({shares.taps, shares.runs, call.W, call.D, call.W},
                                           static_cast<Weight*>(io.dWeight), stream);
  if (error || !io.dBias) return error;
  return launchSumParts({shares.bias, shares.runs, 1, call.D, 1}, static_cast<Weight*>(io.dBias), stream);
}

}  // namespace

bool convNorms(const LongscanCausalConv& call) {
  return convWidthOf(call) > 1 && convLanes(call, convWidth) > 0;
}

int64_t shortConvRuns(const LongscanCausalConv& call) {
  const int tokens = runTokensOf(call);
  return call.B * ((call.T + tokens - 1) / tokens);
}

cudaError_t launchShortConvGradient(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                                    const ConvShares& shares, cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<__nv_bfloat16>(call, io, shares, stream)
                                          : launch<float>(call, io, shares, stream);
}

cudaError_t sumCausalConvShares(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                                const ConvShares& shares, cudaStream_t stream) {
  return call.weightType == longscanElementBf16 ? sumShares<__nv_bfloat16>(call, io, shares, stream)
                                                : sumShares<float>(call, io, shares, stream);
}

}  // namespace longscan
