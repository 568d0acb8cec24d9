#include "cuda_gradient.h"

#include <type_traits>

#include "cuda/sum_parts.cuh"
#include "cuda_taps.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int gradientWidth = 4;
constexpr int64_t gradientThreads = 132 * 1024;

template <typename Element>
struct Gradient {
  int64_t B;
  const Element* dy;
  Element *dx, *dHalo;
  ConvShares shares;
};

template <int width>
__device__ void storeFloats(float* to, const float (&values)[width]) {
  Pack<float, width> pack;
#pragma unroll
  for (int c = 0; c < width; c++) pack.x[c] = values[c];
  storePack<width>(to, pack);
}

/// A thread goes through its run with time. A position's dx is complete `most` - 1 tokens later, so it goes
/// on as far into the next run; what it finds there counts for its own positions only.
template <typename Element, int width, int most>
__global__ void __launch_bounds__(RowBlocks::threads, most <= 4 ? 2 : 1)
    gradientKernel(const Conv<Element> conv, const Gradient<Element> io) {
  extern __shared__ __align__(16) char memory[];
  const int runs = (conv.T + conv.runTokens - 1) / conv.runTokens;
  const int64_t channel = unitNumber() * width, run = rowNumber();
  if (channel >= conv.D || run >= io.B * runs) return;
  const int64_t b = run / runs;
  const int begin = static_cast<int>(run % runs) * conv.runTokens, end = min(begin + conv.runTokens, conv.T);
  const int past = min(end + most - 1, conv.T);
  const ConvRing<Element, width, 2> ring(memory);
  const auto fetch = [&](int step) {
    const int first = begin + step * rowsAtOnce;
    if (first < past) ring.fetch(step, conv, {conv.x, io.dy}, b, channel, first, past);
    commitCopies();
  };
#pragma unroll
  for (int step = 0; step < ringSteps - 1; step++) fetch(step);
  ConvChannels<Element, width, most> channels(conv, b, channel, begin);
  float pending[most][width] = {};  // pending[j]: dx of the position j before the present one
  float dTap[most][width] = {}, dBias[width] = {};

  for (int step = 0; begin + step * rowsAtOnce < end + most - 1; step++) {
    awaitCopies<ringSteps - 2>();
    const int first = begin + step * rowsAtOnce;
    fetch(step + ringSteps - 1);
    // `inside`: all taps are in sight, and all positions are the run's own.
    const auto finish = [&](auto inside) {
#pragma unroll
      for (int i = 0; i < rowsAtOnce; i++) {
        const int t = first + i;
#pragma unroll
        for (int j = most - 1; j > 0; j--)
#pragma unroll
          for (int c = 0; c < width; c++) pending[j][c] = pending[j - 1][c];
#pragma unroll
        for (int c = 0; c < width; c++) pending[0][c] = 0.0f;
        if (inside.value || t < conv.T) {
          channels.advance(ring.row(step, i, 0), !inside.value && ring.starts(step, conv, i));
          const Pack<Element, width> dy = ring.row(step, i, 1);
          float z[width], dz[width];
          if (conv.silu) channels.template sum<inside.value>(z);
#pragma unroll
          for (int c = 0; c < width; c++) {
            dz[c] = toFloat(dy.x[c]);
            if (!conv.silu) continue;
            const float s = sigmoid(z[c]);
            dz[c] *= s * (1.0f + z[c] * (1.0f - s));
          }
          const bool counts = inside.value || t < end;
#pragma unroll
          for (int j = 0; j < most; j++) {
            if (!inside.value && j > channels.visible) continue;
#pragma unroll
            for (int c = 0; c < width; c++) {
              pending[j][c] = fmaf(channels.tap[j][c], dz[c], pending[j][c]);
              if (counts) dTap[j][c] = fmaf(dz[c], channels.before[j][c], dTap[j][c]);
            }
          }
          if (counts)
#pragma unroll
            for (int c = 0; c < width; c++) dBias[c] += dz[c];
          if (!inside.value) channels.leave();
        }
        const int position = t - (most - 1);
        const bool inRun = inside.value || (position >= begin && position < end);
        const bool inHalo = io.dHalo && begin == 0 && position < 0 && position >= 1 - conv.W;
        if (!inRun && !inHalo) continue;
        Pack<Element, width> out;
#pragma unroll
        for (int c = 0; c < width; c++) out.x[c] = fromFloat<Element>(pending[most - 1][c]);
        Element* row = inRun ? io.dx + (b * conv.T + position) * conv.D
                             : io.dHalo + ((b + 1) * (conv.W - 1) + position) * conv.D;
        storePack<width>(row + channel, out);
      }
    };
    const bool anyStart = ring.anyStart(step, conv);
    if (channels.seesAll() && !anyStart && first - (most - 1) >= begin && first + rowsAtOnce <= end)
      finish(std::true_type());
    else
      finish(std::false_type());
  }
  float* const shareOfTaps = io.shares.taps + run * conv.W * conv.D + channel;
#pragma unroll
  for (int j = 0; j < most; j++)
    if (j < conv.W) storeFloats(shareOfTaps + (conv.W - 1 - j) * conv.D, dTap[j]);
  storeFloats(io.shares.bias + run * conv.D + channel, dBias);
}

template <typename Element, int width>
cudaError_t launchRuns(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                       const float* taps, const ConvShares& shares, cudaStream_t stream) {
  const Conv<Element> conv(call, taps, runTokensOf(call, gradientWidth, gradientThreads));
  const Gradient<Element> gradient{call.B, static_cast<const Element*>(io.dy), static_cast<Element*>(io.dx),
                                   static_cast<Element*>(call.halo ? io.dHalo : nullptr), shares};
  const RowBlocks blocks(causalConvRuns(call), call.D / width);
  const auto kernel = call.W <= 4 ? gradientKernel<Element, width, 4> : gradientKernel<Element, width, 8>;
  constexpr int bytes = ConvRing<Element, width, 2>::bytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  kernel<<<blocks.grid, blocks.block(), bytes, stream>>>(conv, gradient);
  return cudaGetLastError();
}

template <typename Element>
cudaError_t launchRuns(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                       const float* taps, const ConvShares& shares, cudaStream_t stream) {
  return call.D % gradientWidth == 0 ? launchRuns<Element, gradientWidth>(call, io, taps, shares, stream)
                                     : launchRuns<Element, 1>(call, io, taps, shares, stream);
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

int64_t causalConvRuns(const LongscanCausalConv& call) {
  const int tokens = runTokensOf(call, gradientWidth, gradientThreads);
  return call.B * ((call.T + tokens - 1) / tokens);
}

cudaError_t launchCausalConvGradient(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                                     const float* taps, const ConvShares& shares, cudaStream_t stream) {
  const cudaError_t error = call.type == longscanElementBf16
                                ? launchRuns<Bf16>(call, io, taps, shares, stream)
                                : launchRuns<float>(call, io, taps, shares, stream);
  return error ? error : sumCausalConvShares(call, io, shares, stream);
}

cudaError_t sumCausalConvShares(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                                const ConvShares& shares, cudaStream_t stream) {
  return call.weightType == longscanElementBf16 ? sumShares<Bf16>(call, io, shares, stream)
                                                : sumShares<float>(call, io, shares, stream);
}

}  // namespace longscan
