#include "cuda.h"

#include "cuda/elements.cuh"
#include "cuda/held_rows.cuh"

namespace longscan {

namespace {

/// Threads hold two sums for each of their columns: longer rows have no room for them.
constexpr int64_t longestRow = 4096;

template <typename Layout>
__global__ void __launch_bounds__(Layout::threads, 512 / Layout::threads)
    forwardKernel(const HeldRows rows, int groupsAtOnce, const LongscanLayerNorm call,
                  typename Layout::Element* y, float2* stats) {
  using Element = typename Layout::Element;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  const RowThread<Layout> thread(rows, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f), biases(thread, call.bias, 0.0f);
  const float perColumn = 1.0f / static_cast<float>(rows.cols);
  RowReduction<Layout, atOnce> reduce;
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    RowPart<Layout> x[atOnce];
    float means[atOnce] = {}, squares[atOnce] = {};
#pragma unroll
    for (int r = 0; r < atOnce; r++)
      thread.load(x[r], static_cast<const Element*>(call.x), thread.row(first, r));
#pragma unroll
    for (int r = 0; r < atOnce; r++)
#pragma unroll
      for (int i = 0; i < Layout::numbers; i++) means[r] += x[r][i];
    reduce(means);
    // Of what is centered: the mean of the squares less the square of the mean has no bits left where the
    // mean is large.
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      x[r].forgetDerived();
      means[r] *= perColumn;
#pragma unroll
      for (int p = 0; p < Layout::packs; p++)
#pragma unroll
        for (int i = 0; i < width; i++) {
          const float centered = x[r][p * width + i] - means[r];
          squares[r] += thread.hasPart(p) ? centered * centered : 0.0f;
        }
    }
    reduce(squares);
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const int64_t row = thread.row(first, r);
      const float rstd = rsqrtf(squares[r] * perColumn + call.eps);
      if (row >= 0 && thread.isFirstOfRow()) stats[row] = make_float2(means[r], rstd);
      x[r].forgetDerived();
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        float weight[width], bias[width];
        weights.get(weight, p), biases.get(bias, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const float normed = (x[r][p * width + i] - means[r]) * rstd;
          x[r].set(p * width + i, normed * weight[i] + bias[i]);
        }
      }
      thread.store(y, row, x[r]);
    }
  }
}

/// With n = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - n mean(g n)), dWeight += dy n,
/// dBias += dy.
template <typename Layout>
__global__ void __launch_bounds__(Layout::threads, 512 / Layout::threads)
    backwardKernel(const HeldRows rows, int groupsAtOnce, const LongscanLayerNorm call,
                   const LongscanLayerNormBackward io) {
  using Element = typename Layout::Element;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  const RowThread<Layout> thread(rows, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  const float perColumn = 1.0f / static_cast<float>(rows.cols);
  float dWeights[Layout::numbers] = {}, dBiases[Layout::numbers] = {};
  RowReduction<Layout, 2 * atOnce> reduce;
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    RowPart<Layout> dy[atOnce], x[atOnce];
    float mean[atOnce], rstd[atOnce];
    float sums[2 * atOnce] = {};  // of g, then of g n
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const int64_t row = thread.row(first, r);
      thread.load(dy[r], static_cast<const Element*>(io.dy), row);
      thread.load(x[r], static_cast<const Element*>(call.x), row);
      const float2 stats =
          row >= 0 ? reinterpret_cast<const float2*>(io.stats)[row] : make_float2(0.0f, 0.0f);
      mean[r] = stats.x, rstd[r] = stats.y;
    }
#pragma unroll
    for (int r = 0; r < atOnce; r++)
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const int at = p * width + i;
          const float gradient = dy[r][at] * weight[i];
          sums[r] += gradient;
          sums[atOnce + r] += gradient * ((x[r][at] - mean[r]) * rstd[r]);
        }
      }
    reduce(sums);
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const float meanGradient = sums[r] * perColumn, meanProduct = sums[atOnce + r] * perColumn;
      dy[r].forgetDerived(), x[r].forgetDerived();
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const int at = p * width + i;
          const float gradient = dy[r][at], normed = (x[r][at] - mean[r]) * rstd[r];
          dWeights[at] += gradient * normed;
          dBiases[at] += gradient;
          x[r].set(at, rstd[r] * (gradient * weight[i] - meanGradient - normed * meanProduct));
        }
      }
      thread.store(static_cast<Element*>(io.dx), thread.row(first, r), x[r]);
    }
  }
  if (io.dWeight != nullptr) thread.storeShare(dWeights, io.dWeight);
  if (io.dBias != nullptr) thread.storeShare(dBiases, io.dBias);
}

/// Calls `body` with the layout of the rows.
template <typename Body>
cudaError_t withLayout(const LongscanLayerNorm& call, Body body) {
  return withElement(call.type == longscanElementBf16, [=](auto* none) {
    return withRowLayout<std::remove_pointer_t<decltype(none)>, longestRow>(call.cols, body);
  });
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanLayerNormForward(const LongscanLayerNorm* call, void* y, float* stats, CUstream_st* stream) {
  if (call->positions == 0) return cudaSuccess;
  return withLayout(*call, [=](auto layout) {
    using Layout = decltype(layout);
    const HeldRows rows{call->positions, call->groups, call->cols};
    const HeldRowsBlock<Layout> block(rows);
    forwardKernel<Layout><<<block.grid(rows, block.shares(rows)), block.size, 0, stream>>>(
        rows, static_cast<int>(block.groupsAtOnce), *call, static_cast<typename Layout::Element*>(y),
        reinterpret_cast<float2*>(stats));
    return cudaGetLastError();
  });
}

int longscanLayerNormBackward(const LongscanLayerNorm* call, const LongscanLayerNormBackward* io,
                              CUstream_st* stream) {
  if (call->positions == 0 && io->dWeight == nullptr && io->dBias == nullptr) return cudaSuccess;
  return withLayout(*call, [=](auto layout) {
    using Layout = decltype(layout);
    const HeldRows rows{call->positions, call->groups, call->cols};
    const HeldRowsBlock<Layout> block(rows);
    const bool hasShares = io->dWeight != nullptr || io->dBias != nullptr;
    const dim3 grid = block.grid(rows, hasShares ? io->shares : block.shares(rows));
    backwardKernel<Layout>
        <<<grid, block.size, 0, stream>>>(rows, static_cast<int>(block.groupsAtOnce), *call, *io);
    return cudaGetLastError();
  });
}
