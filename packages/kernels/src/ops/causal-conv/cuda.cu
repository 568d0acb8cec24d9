#include "cuda.h"

#include <type_traits>

#include "cuda/workspace_parts.h"
#include "cuda_gradient.h"
#include "cuda_long.h"
#include "cuda_taps.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

bool supported(const LongscanCausalConv& call) {
  const auto isType = [](int32_t type) { return type == longscanElementBf16 || type == longscanElementF32; };
  return call.B > 0 && call.T > 0 && call.T < INT32_MAX && call.D > 0 && call.W >= 1 &&
         call.W <= causalConvMostTaps && isType(call.type) && isType(call.weightType);
}

bool isLong(const LongscanCausalConv& call) {
  return call.W > 8;
}

struct Workspace {
  WorkspaceParts parts;
  float* taps;  // [W + 1, D]: the taps, then the bias
  ConvShares shares;

  explicit Workspace(const LongscanCausalConv& call)
      : parts(call.workspace),
        taps(parts.take<float>((call.W + 1) * call.D)),
        shares{parts.take<float>(causalConvRuns(call) * call.W * call.D),
               parts.take<float>(causalConvRuns(call) * call.D), causalConvRuns(call)} {}
};

/// Weights as threads read them: in f32, the channels of a tap side by side. One thread a number.
template <typename Weight>
__global__ void spreadKernel(const Weight* weight, const Weight* bias, int W, int64_t D, float* taps) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= (W + 1) * D) return;
  const int64_t tap = at / D, channel = at % D;
  taps[at] = tap < W ? toFloat(weight[channel * W + tap]) : bias ? toFloat(bias[channel]) : 0.0f;
}

template <typename Weight>
cudaError_t spread(const LongscanCausalConv& call, float* taps, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(((call.W + 1) * call.D + 255) / 256);
  spreadKernel<<<blocks, 256, 0, stream>>>(static_cast<const Weight*>(call.weight),
                                           static_cast<const Weight*>(call.bias), call.W, call.D, taps);
  return cudaGetLastError();
}

cudaError_t spreadWeights(const LongscanCausalConv& call, float* taps, cudaStream_t stream) {
  return call.weightType == longscanElementBf16 ? spread<Bf16>(call, taps, stream)
                                                : spread<float>(call, taps, stream);
}

constexpr int64_t forwardThreads = 132 * 768;

template <typename Element, int width, int most>
__global__ void __launch_bounds__(RowBlocks::threads, most <= 4 ? 2 : 1)
    forwardKernel(const Conv<Element> conv, int64_t B, Element* y) {
  extern __shared__ __align__(16) char memory[];
  const int runs = (conv.T + conv.runTokens - 1) / conv.runTokens;
  const int64_t channel = unitNumber() * width, run = rowNumber();
  if (channel >= conv.D || run >= B * runs) return;
  const int64_t b = run / runs;
  const int begin = static_cast<int>(run % runs) * conv.runTokens, end = min(begin + conv.runTokens, conv.T);
  const ConvRing<Element, width, 1> ring(memory);
  const auto fetch = [&](int step) {
    const int first = begin + step * rowsAtOnce;
    if (first < end) ring.fetch(step, conv, {conv.x}, b, channel, first, end);
    commitCopies();
  };
#pragma unroll
  for (int step = 0; step < ringSteps - 1; step++) fetch(step);
  ConvChannels<Element, width, most> channels(conv, b, channel, begin);
  for (int step = 0; begin + step * rowsAtOnce < end; step++) {
    awaitCopies<ringSteps - 2>();
    fetch(step + ringSteps - 1);
    const auto finish = [&](auto all) {
#pragma unroll
      for (int i = 0; i < rowsAtOnce; i++) {
        const int t = begin + step * rowsAtOnce + i;
        if (!all.value && t >= end) break;
        channels.advance(ring.row(step, i, 0), !all.value && ring.starts(step, conv, i));
        float z[width];
        channels.template sum<all.value>(z);
        Pack<Element, width> out;
#pragma unroll
        for (int c = 0; c < width; c++)
          out.x[c] = fromFloat<Element>(conv.silu ? z[c] * sigmoid(z[c]) : z[c]);
        storePack<width>(y + (b * conv.T + t) * conv.D + channel, out);
        if (!all.value) channels.leave();
      }
    };
    const bool anyStart = ring.anyStart(step, conv);
    if (channels.seesAll() && !anyStart && begin + (step + 1) * rowsAtOnce <= end)
      finish(std::true_type());
    else
      finish(std::false_type());
  }
}

template <typename Element, int width>
cudaError_t forward(const LongscanCausalConv& call, const float* taps, void* y, cudaStream_t stream) {
  const int runTokens = runTokensOf(call, width, forwardThreads);
  const Conv<Element> conv(call, taps, runTokens);
  const RowBlocks blocks(call.B * ((call.T + runTokens - 1) / runTokens), call.D / width);
  const auto kernel = call.W <= 4 ? forwardKernel<Element, width, 4> : forwardKernel<Element, width, 8>;
  constexpr int bytes = ConvRing<Element, width, 1>::bytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  kernel<<<blocks.grid, blocks.block(), bytes, stream>>>(conv, call.B, static_cast<Element*>(y));
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanCausalConvWorkspaceBytes(const LongscanCausalConv* call) {
  if (!supported(*call)) return 0;
  LongscanCausalConv counted = *call;
  counted.workspace = nullptr;
  return isLong(counted) ? LongConvWorkspace(counted).parts.used() : Workspace(counted).parts.used();
}

int longscanCausalConvForward(const LongscanCausalConv* call, void* y, CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  float* const taps = Workspace(*call).taps;  // where those of a long one are, too
  const cudaError_t error = spreadWeights(*call, taps, stream);
  if (error) return error;
  if (isLong(*call)) return launchLongConv(*call, LongConvWorkspace(*call), y, stream);
  if (call->type == longscanElementBf16)
    return call->D % 8 == 0 ? forward<Bf16, 8>(*call, taps, y, stream)
                            : forward<Bf16, 1>(*call, taps, y, stream);
  return call->D % 4 == 0 ? forward<float, 4>(*call, taps, y, stream)
                          : forward<float, 1>(*call, taps, y, stream);
}

int longscanCausalConvBackward(const LongscanCausalConv* call, const LongscanCausalConvBackward* io,
                               CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  const Workspace work(*call);
  cudaError_t error = spreadWeights(*call, work.taps, stream);
  if (error) return error;
  if (!isLong(*call)) return launchCausalConvGradient(*call, *io, work.taps, work.shares, stream);
  const LongConvWorkspace longWork(*call);
  error = launchLongConvGradient(*call, longWork, *io, stream);
  return error ? error : sumCausalConvShares(*call, *io, longWork.shares, stream);
}
