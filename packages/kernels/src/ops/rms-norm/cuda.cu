#include "cuda.h"

#include "cuda/elements.cuh"
#include "cuda/held_rows.cuh"

namespace longscan {

namespace {

template <typename Layout>
__global__ void __launch_bounds__(Layout::threads, 768 / Layout::threads)
    forwardKernel(const HeldRows rows, int groupsAtOnce, const LongscanRmsNorm call,
                  const LongscanRmsNormForward io) {
  using Element = typename Layout::Element;
  constexpr int atOnce = Layout::rowsAtOnce, numbers = Layout::numbers, width = Layout::width;
  const RowThread<Layout> thread(rows, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  const float divisor = call.weight ? static_cast<float>(rows.cols) : 1.0f;
  RowReduction<Layout, atOnce> reduce;
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    RowPart<Layout> x[atOnce];
#pragma unroll
    for (int r = 0; r < atOnce; r++)
      thread.load(x[r], static_cast<const Element*>(io.x), thread.row(first, r));
    if (io.branch != nullptr) {
      RowPart<Layout> added[atOnce];
#pragma unroll
      for (int r = 0; r < atOnce; r++)
        thread.load(added[r], static_cast<const Element*>(io.branch), thread.row(first, r));
#pragma unroll
      for (int r = 0; r < atOnce; r++) {
#pragma unroll
        for (int i = 0; i < numbers; i++) x[r].set(i, x[r][i] + added[r][i]);
        thread.store(static_cast<Element*>(io.stream), thread.row(first, r), x[r]);
      }
    }
    float squares[atOnce] = {};
#pragma unroll
    for (int r = 0; r < atOnce; r++)
#pragma unroll
      for (int i = 0; i < numbers; i++) squares[r] += x[r][i] * x[r][i];
    reduce(squares);
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const int64_t row = thread.row(first, r);
      const float rstd = rsqrtf(squares[r] / divisor + call.eps);
      if (row >= 0 && thread.isFirstOfRow()) io.rstd[row] = rstd;
      x[r].forgetDerived();
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) x[r].set(p * width + i, x[r][p * width + i] * rstd * weight[i]);
      }
      thread.store(static_cast<Element*>(io.y), row, x[r]);
    }
  }
}

/// With n = x rstd and g = dy weight: dx = rstd (g - n mean(g n)) + dStream, dWeight += dy n.
template <typename Layout, bool isResidual>
__global__ void __launch_bounds__(Layout::threads, 512 / Layout::threads)
    backwardKernel(const HeldRows rows, int groupsAtOnce, const LongscanRmsNorm call,
                   const LongscanRmsNormBackward io) {
  using Element = typename Layout::Element;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  const RowThread<Layout> thread(rows, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  const float divisor = call.weight ? static_cast<float>(rows.cols) : 1.0f;
  float dWeights[Layout::numbers] = {};
  RowReduction<Layout, atOnce> reduce;
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    RowPart<Layout> dy[atOnce], x[atOnce], dStream[atOnce];
    const auto loadStream = [&](int r, int p) {
      if constexpr (isResidual)
        thread.loadPart(dStream[r], p, static_cast<const Element*>(io.dStream), thread.row(first, r));
    };
    float rstd[atOnce], dots[atOnce] = {};
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const int64_t row = thread.row(first, r);
      thread.load(dy[r], static_cast<const Element*>(io.dy), row);
      thread.load(x[r], static_cast<const Element*>(io.x), row);
      if (!Layout::isLong)
#pragma unroll
        for (int p = 0; p < Layout::packs; p++) loadStream(r, p);
      rstd[r] = row >= 0 ? io.rstd[row] : 0.0f;
    }
#pragma unroll
    for (int r = 0; r < atOnce; r++)
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) dots[r] += dy[r][p * width + i] * weight[i] * x[r][p * width + i];
      }
    reduce(dots);
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      dy[r].forgetDerived(), x[r].forgetDerived();
      const float shift = rstd[r] * rstd[r] * rstd[r] * dots[r] / divisor;
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        if (Layout::isLong) loadStream(r, p);
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const int at = p * width + i;
          dWeights[at] += dy[r][at] * (x[r][at] * rstd[r]);
          float dx = rstd[r] * (dy[r][at] * weight[i]) - x[r][at] * shift;
          if constexpr (isResidual) dx += dStream[r][at];
          x[r].set(at, dx);
        }
      }
      thread.store(static_cast<Element*>(io.dx), thread.row(first, r), x[r]);
    }
  }
  if (io.dWeight != nullptr) thread.storeShare(dWeights, io.dWeight);
}

template <typename Layout>
cudaError_t launchBackward(const LongscanRmsNorm& call, const LongscanRmsNormBackward& io,
                           cudaStream_t stream) {
  const HeldRows rows{call.rows, 1, call.cols};
  const HeldRowsBlock<Layout> block(rows);
  const dim3 grid = block.grid(rows, io.dWeight ? io.shares : block.shares(rows));
  const auto kernel = io.dStream ? backwardKernel<Layout, true> : backwardKernel<Layout, false>;
  kernel<<<grid, block.size, 0, stream>>>(rows, static_cast<int>(block.groupsAtOnce), call, io);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanRmsNormForward(const LongscanRmsNorm* call, const LongscanRmsNormForward* io,
                           CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  return withElement(call->type == longscanElementBf16, [=](auto* none) {
    return withRowLayout<std::remove_pointer_t<decltype(none)>>(call->cols, [=](auto layout) {
      using Layout = decltype(layout);
      const HeldRows rows{call->rows, 1, call->cols};
      const HeldRowsBlock<Layout> block(rows);
      forwardKernel<Layout><<<block.grid(rows, block.shares(rows)), block.size, 0, stream>>>(
          rows, static_cast<int>(block.groupsAtOnce), *call, *io);
      return cudaGetLastError();
    });
  });
}

int longscanRmsNormBackward(const LongscanRmsNorm* call, const LongscanRmsNormBackward* io,
                            CUstream_st* stream) {
  if (io->shares < 1 || io->shares > 65535) return cudaErrorInvalidValue;
  return withElement(call->type == longscanElementBf16, [=](auto* none) {
    return withRowLayout<std::remove_pointer_t<decltype(none)>>(
        call->cols, [=](auto layout) { return launchBackward<decltype(layout)>(*call, *io, stream); });
  });
}
