#include "cuda_short.h"

#include <type_traits>

#include "cuda/dependent.cuh"
#include "cuda_taps.cuh"

namespace longscan {

namespace {

constexpr int threads = 256;
/// Of a thread's run: so many rows are on their way to it at once, with those before them that it sees.
constexpr int runTokens = 8;
/// Of which a head's threads add up squares together.
constexpr int atOnce = 4;

template <typename Element, int width, int most, bool isNormed>
__global__ void __launch_bounds__(threads, most <= 4 ? 2 : 1)
    forwardKernel(const Conv<Element> conv, Element* y) {
  constexpr int back = most - 1;
  followKernelBefore();
  const ConvThread<width> thread(conv);
  const int first = thread.begin;
  Pack<Element, width> rows[back + runTokens] = {};
#pragma unroll
  for (int i = 0; i < back + runTokens; i++)
    if (thread.isActive && conv.has(first - back + i))
      rows[i] = loadPack<width>(conv.at(thread.b, first - back + i, thread.channel));
  ConvStarts starts;
  if (conv.resets && thread.isActive)
#pragma unroll
    for (int i = 0; i < back + runTokens; i++) starts.read(conv, thread.b, first - back + i, i);
  const ConvWeights<width, most> weights(conv, thread);
  const bool seesAll = conv.W == most && starts.bits == 0 && (first >= back || conv.halo);
  HeadSums<atOnce, threads> sumOfHead(conv.lanes);

#pragma unroll
  for (int step = 0; step < runTokens; step += atOnce) {
    float z[atOnce][width];
    const auto convolve = [&](auto all) {
#pragma unroll
      for (int i = 0; i < atOnce; i++) {
        const int at = back + step + i;
        const int visible = all.value ? back : starts.visible<back>(conv, first + step + i, at);
#pragma unroll
        for (int c = 0; c < width; c++) z[i][c] = weights.bias[c];
#pragma unroll
        for (int j = 0; j < most; j++)
          if (all.value || j <= visible)
#pragma unroll
            for (int c = 0; c < width; c++)
              z[i][c] = fmaf(weights.tap[j][c], toFloat(rows[at - j].x[c]), z[i][c]);
      }
    };
    if (seesAll)
      convolve(std::true_type());
    else
      convolve(std::false_type());
    float squares[atOnce] = {};
#pragma unroll
    for (int i = 0; i < atOnce; i++)
#pragma unroll
      for (int c = 0; c < width; c++) {
        if (conv.silu) z[i][c] *= sigmoid(z[i][c]);
        if (isNormed && thread.isActive) squares[i] = fmaf(z[i][c], z[i][c], squares[i]);
      }
    if constexpr (isNormed) sumOfHead(squares);
#pragma unroll
    for (int i = 0; i < atOnce; i++) {
      const int t = first + step + i;
      if (!thread.isActive || t >= conv.T) continue;
      const float scale = isNormed ? rsqrtf(squares[i] + conv.eps) : 1.0f;
      if (isNormed && thread.lane == 0) conv.rstd[conv.row(thread.b, t) * conv.heads + thread.head] = scale;
      Pack<Element, width> out;
#pragma unroll
      for (int c = 0; c < width; c++) out.x[c] = fromFloat<Element>(isNormed ? z[i][c] * scale : z[i][c]);
      storePack<width>(y + conv.row(thread.b, t) * conv.D + thread.channel, out);
    }
  }
}

template <typename Element, int width, int most>
cudaError_t launch(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  const Conv<Element> conv(call, convLanes(call, width), runTokens);
  const ConvGrid<threads> blocks(conv);
  const auto kernel =
      call.headSize ? forwardKernel<Element, width, most, true> : forwardKernel<Element, width, most, false>;
  return launchBehind(kernel, blocks.grid, blocks.block, 0, stream, conv, static_cast<Element*>(y));
}

template <typename Element, int width>
cudaError_t launch(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  return call.W <= 4 ? launch<Element, width, 4>(call, y, stream)
                     : launch<Element, width, causalConvShortTaps>(call, y, stream);
}

template <typename Element>
cudaError_t launch(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  return convWidthOf(call) == 1 ? launch<Element, 1>(call, y, stream)
                                : launch<Element, convWidth>(call, y, stream);
}

}  // namespace

cudaError_t launchShortConv(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<__nv_bfloat16>(call, y, stream)
                                          : launch<float>(call, y, stream);
}

}  // namespace longscan
