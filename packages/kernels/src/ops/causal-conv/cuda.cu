#include "cuda.h"

#include "cuda_gradient.h"
#include "cuda_taps.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

bool supported(const LongscanCausalConv& call) {
  return call.B > 0 && call.T > 0 && call.T < INT32_MAX && call.D > 0 && call.W >= 1 && call.W <= 8 &&
         (call.type == longscanElementBf16 || call.type == longscanElementF32);
}

/// Tokens of a thread: long enough that reading its W - 1 predecessors again is little, short enough to fill
/// the chip.
constexpr int runTokens = 32;
constexpr int rowsAtOnce = 4;

template <typename Element, int width, int most>
__global__ void __launch_bounds__(RowBlocks::threads)
    forwardKernel(const Conv<Element> conv, int64_t B, Element* y) {
  const int runs = (conv.T + conv.runTokens - 1) / conv.runTokens;
  const int64_t channel = unitNumber() * width, run = rowNumber();
  if (channel >= conv.D || run >= B * runs) return;
  const int64_t b = run / runs;
  const int begin = static_cast<int>(run % runs) * conv.runTokens, end = min(begin + conv.runTokens, conv.T);
  ConvChannels<Element, width, most> channels(conv, b, channel, begin);
  for (int first = begin; first < end; first += rowsAtOnce) {
    Pack<Element, width> x[rowsAtOnce];
    bool starts[rowsAtOnce];
#pragma unroll
    for (int i = 0; i < rowsAtOnce; i++) {
      const int64_t row = b * conv.T + min(first + i, end - 1);
      x[i] = loadPack<width>(conv.x + row * conv.D + channel);
      starts[i] = conv.resets && conv.resets[row];
    }
#pragma unroll
    for (int i = 0; i < rowsAtOnce; i++) {
      if (first + i >= end) break;
      channels.advance(x[i], starts[i]);
      float z[width];
      channels.sum(z);
      Pack<Element, width> out;
#pragma unroll
      for (int c = 0; c < width; c++) out.x[c] = fromFloat<Element>(conv.silu ? z[c] * sigmoid(z[c]) : z[c]);
      storePack<width>(y + (b * conv.T + first + i) * conv.D + channel, out);
      channels.leave();
    }
  }
}

template <typename Element, int width>
cudaError_t forward(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  const Conv<Element> conv(call, runTokens);
  const RowBlocks blocks(call.B * ((call.T + runTokens - 1) / runTokens), call.D / width);
  const auto kernel = call.W <= 4 ? forwardKernel<Element, width, 4> : forwardKernel<Element, width, 8>;
  kernel<<<blocks.grid, blocks.block(), 0, stream>>>(conv, call.B, static_cast<Element*>(y));
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanCausalConvWorkspaceBytes(const LongscanCausalConv* call) {
  return supported(*call) ? sizeof(float) * causalConvGradientNumbers(*call) : 0;
}

int longscanCausalConvForward(const LongscanCausalConv* call, void* y, CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  if (call->type == longscanElementBf16)
    return call->D % 8 == 0 ? forward<Bf16, 8>(*call, y, stream) : forward<Bf16, 1>(*call, y, stream);
  return call->D % 4 == 0 ? forward<float, 4>(*call, y, stream) : forward<float, 1>(*call, y, stream);
}

int longscanCausalConvBackward(const LongscanCausalConv* call, const LongscanCausalConvBackward* io,
                               CUstream_st* stream) {
  return supported(*call) ? launchCausalConvGradient(*call, *io, stream) : cudaErrorInvalidValue;
}
