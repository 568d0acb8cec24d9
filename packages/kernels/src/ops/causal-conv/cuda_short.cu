#include "cuda_short.h"

#include <type_traits>

#include "cuda_taps.cuh"

namespace longscan {

namespace {

constexpr int threads = convThreads, atOnce = convTokens;
/// On a multiprocessor; threads then have 80 registers, 128 or 255. bf16 takes few of them where threads have
/// few channels.
template <typename Element, int width, int most>
constexpr int blocksAtOnce = most > 4                       ? 2
                             : width * sizeof(Element) <= 8 ? 6
                                                            : 4;

/// A thread goes through its run with time.
template <typename Element, int width, int most, bool isNormed>
__global__ void __launch_bounds__(threads, blocksAtOnce<Element, width, most>)
    forwardKernel(const Conv<Element> conv, Element* y) {
  constexpr int back = most - 1;
  /// Tokens whose squares a head's threads add up together, as registers allow.
  constexpr int together = width > 4 ? 2 : 4;
  using Ring = ConvRing<Element, width, 1, false>;
  extern __shared__ __align__(16) char memory[];
  const ConvThread<width> thread(conv);
  const int begin = thread.begin, end = min(begin + conv.runTokens, conv.T);
  const Ring ring(memory);
  const auto fetch = [&](int step) { ring.fetch(step, conv, {conv.x}, thread, begin + step * atOnce, end); };
#pragma unroll
  for (int step = 0; step < Ring::steps - 1; step++) fetch(step);
  const ConvWeights<width, most> weights(conv, thread);
  HeadSums<together> sumOfHead(conv.lanes);
  // Of the `back` tokens before, and of those at work.
  Pack<Element, width> rows[back + atOnce] = {};
  ConvStarts starts;
#pragma unroll
  for (int i = 0; i < back; i++) {
    const int position = begin - back + i;
    if (thread.isActive && conv.has(position))
      rows[i] = loadPack<width>(conv.at(thread.b, position, thread.channel));
    if (thread.isActive) starts.read(conv, thread.b, position, i);
  }

  // The same number of steps for all threads of the block.
  for (int step = 0; step < conv.runTokens / atOnce; step++) {
    const int first = begin + step * atOnce;
    if (conv.resets && thread.isActive)
#pragma unroll
      for (int i = 0; i < atOnce; i++) starts.read(conv, thread.b, first + i, back + i);
    awaitCopies<Ring::steps - 2>();
    fetch(step + Ring::steps - 1);
#pragma unroll
    for (int i = 0; i < atOnce; i++) rows[back + i] = ring.row(step, i, 0);
    const bool seesAll = conv.W == most && starts.bits == 0 && (first >= back || conv.halo);
#pragma unroll
    for (int some = 0; some < atOnce; some += together) {
      float z[together][width];
      const auto convolve = [&](auto all) {
#pragma unroll
        for (int i = 0; i < together; i++) {
          const int at = back + some + i;
          const int visible = all.value ? back : starts.visible<back>(conv, first + some + i, at);
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
      float squares[together] = {};
#pragma unroll
      for (int i = 0; i < together; i++)
#pragma unroll
        for (int c = 0; c < width; c++) {
          if (conv.silu) z[i][c] *= sigmoid(z[i][c]);
          if (isNormed && thread.isActive) squares[i] = fmaf(z[i][c], z[i][c], squares[i]);
        }
      if constexpr (isNormed) sumOfHead(squares);
#pragma unroll
      for (int i = 0; i < together; i++) {
        const int t = first + some + i;
        if (!thread.isActive || t >= end) continue;
        const float scale = isNormed ? rsqrtf(squares[i] + conv.eps) : 1.0f;
        if (isNormed && thread.lane == 0) conv.rstd[conv.row(thread.b, t) * conv.heads + thread.head] = scale;
        Pack<Element, width> out;
#pragma unroll
        for (int c = 0; c < width; c++) out.x[c] = fromFloat<Element>(isNormed ? z[i][c] * scale : z[i][c]);
        storePack<width>(y + conv.row(thread.b, t) * conv.D + thread.channel, out);
      }
    }
    starts.bits >>= atOnce;
#pragma unroll
    for (int i = 0; i < back; i++) rows[i] = rows[atOnce + i];
  }
}

template <typename Element, int width, int most, bool isNormed>
cudaError_t launch(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  const Conv<Element> conv(call, convLanes(call, width),
                           convRunTokens(call, width, blocksAtOnce<Element, width, most>));
  const ConvGrid blocks(conv);
  const auto kernel = forwardKernel<Element, width, most, isNormed>;
  constexpr int bytes = ConvRing<Element, width, 1, false>::bytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error) return error;
  kernel<<<blocks.grid, blocks.block, bytes, stream>>>(conv, static_cast<Element*>(y));
  return cudaGetLastError();
}

template <typename Element, int width>
cudaError_t launch(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  constexpr int more = causalConvShortTaps;
  if (call.headSize)
    return call.W <= 4 ? launch<Element, width, 4, true>(call, y, stream)
                       : launch<Element, width, more, true>(call, y, stream);
  return call.W <= 4 ? launch<Element, width, 4, false>(call, y, stream)
                     : launch<Element, width, more, false>(call, y, stream);
}

/// Packs of 16 bytes where rows, and heads that are scaled, are of such; but up to four taps without heads
/// leave registers for more threads with smaller packs, which keep more on its way.
template <typename Element>
cudaError_t launch(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  constexpr int widest = 16 / sizeof(Element);
  const bool isOfPacks = call.D % widest == 0 && call.headSize % widest == 0;
  if (isOfPacks && (call.headSize != 0 || call.W > 4)) return launch<Element, widest>(call, y, stream);
  return convWidthOf(call) == 1 ? launch<Element, 1>(call, y, stream)
                                : launch<Element, convWidth>(call, y, stream);
}

}  // namespace

cudaError_t launchShortConv(const LongscanCausalConv& call, void* y, cudaStream_t stream) {
  return call.type == longscanElementBf16 ? launch<__nv_bfloat16>(call, y, stream)
                                          : launch<float>(call, y, stream);
}

}  // namespace longscan
