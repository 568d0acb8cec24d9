#include "cuda.h"

#include "cuda/elements.cuh"
#include "cuda/held_rows.cuh"

namespace longscan {

namespace {

template <typename Layout>
struct ForwardRows {
  RowPart<Layout> x[Layout::rowsAtOnce], branch[Layout::rowsAtOnce];
};

template <typename Layout, bool isResidual>
__global__ void __launch_bounds__(Layout::threads, Layout::blocksAtOnce)
    forwardKernel(const HeldRows shape, int groupsAtOnce, const LongscanRmsNorm call,
                  const LongscanRmsNormForward io) {
  using Element = typename Layout::Element;
  using Rows = ForwardRows<Layout>;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  const RowThread<Layout> thread(shape, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  const float divisor = call.weight ? static_cast<float>(shape.cols) : 1.0f;
  RowReduction<Layout, atOnce> reduce;
  const auto load = [&](Rows& rows, int64_t first) {
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      thread.load(rows.x[r], static_cast<const Element*>(io.x), thread.row(first, r));
      if constexpr (isResidual)
        thread.load(rows.branch[r], static_cast<const Element*>(io.branch), thread.row(first, r));
    }
  };
  forEachRows<Rows>(thread, load, [&](int64_t first, Rows& rows) {
    auto& x = rows.x;
    float squares[atOnce] = {};
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      if constexpr (isResidual) {
#pragma unroll
        for (int i = 0; i < Layout::numbers; i++) x[r].set(i, x[r][i] + rows.branch[r][i]);
        thread.store(static_cast<Element*>(io.stream), thread.row(first, r), x[r]);
      }
#pragma unroll
      for (int i = 0; i < Layout::numbers; i++) squares[r] += x[r][i] * x[r][i];
    }
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
  });
}

template <typename Layout>
struct BackwardRows {
  RowPart<Layout> dy[Layout::rowsAtOnce], x[Layout::rowsAtOnce], dStream[Layout::rowsAtOnce];
  float rstd[Layout::rowsAtOnce];
};

/// With n = x rstd and g = dy weight: dx = rstd (g - n mean(g n)) + dStream, dWeight += dy n.
template <typename Layout, bool isResidual>
__global__ void __launch_bounds__(Layout::threads, 512 / Layout::threads)
    backwardKernel(const HeldRows shape, int groupsAtOnce, const LongscanRmsNorm call,
                   const LongscanRmsNormBackward io) {
  using Element = typename Layout::Element;
  using Rows = BackwardRows<Layout>;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  const RowThread<Layout> thread(shape, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  const float divisor = call.weight ? static_cast<float>(shape.cols) : 1.0f;
  float dWeights[Layout::numbers] = {};
  RowReduction<Layout, atOnce> reduce;
  const auto loadStream = [&](Rows& rows, int64_t first, int r, int p) {
    if constexpr (isResidual)
      thread.loadPart(rows.dStream[r], p, static_cast<const Element*>(io.dStream), thread.row(first, r));
  };
  const auto load = [&](Rows& rows, int64_t first) {
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const int64_t row = thread.row(first, r);
      thread.load(rows.dy[r], static_cast<const Element*>(io.dy), row);
      thread.load(rows.x[r], static_cast<const Element*>(io.x), row);
      if (!Layout::isLong)
#pragma unroll
        for (int p = 0; p < Layout::packs; p++) loadStream(rows, first, r, p);
      rows.rstd[r] = row >= 0 ? io.rstd[row] : 0.0f;
    }
  };
  forEachRows<Rows>(thread, load, [&](int64_t first, Rows& rows) {
    auto &dy = rows.dy, &x = rows.x;
    float dots[atOnce] = {};
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
      const float rstd = rows.rstd[r], shift = rstd * rstd * rstd * dots[r] / divisor;
      dy[r].forgetDerived(), x[r].forgetDerived();
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        if (Layout::isLong) loadStream(rows, first, r, p);
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const int at = p * width + i;
          dWeights[at] += dy[r][at] * (x[r][at] * rstd);
          float dx = rstd * (dy[r][at] * weight[i]) - x[r][at] * shift;
          if constexpr (isResidual) dx += rows.dStream[r][at];
          // As the forward pass rounds it.
          dy[r].set(at, x[r][at] * rstd * weight[i]);
          x[r].set(at, dx);
        }
      }
      thread.store(static_cast<Element*>(io.dx), thread.row(first, r), x[r]);
      if (io.y != nullptr) thread.store(static_cast<Element*>(io.y), thread.row(first, r), dy[r]);
    }
  });
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
      const auto kernel = io->branch ? forwardKernel<Layout, true> : forwardKernel<Layout, false>;
      const bool byStep = io->branch || block.size.y > 1;
      kernel<<<block.grid(rows, byStep ? block.steps(rows) : block.shares(rows)), block.size, 0, stream>>>(
          rows, static_cast<int>(block.groupsAtOnce), *call, *io);
      return cudaGetLastError();
    });
  });
}

int longscanRmsNormBackward(const LongscanRmsNorm* call, const LongscanRmsNormBackward* io,
                            CUstream_st* stream) {
  if (call->rows == 0 && io->dWeight == nullptr) return cudaSuccess;
  return withElement(call->type == longscanElementBf16, [=](auto* none) {
    return withRowLayout<std::remove_pointer_t<decltype(none)>>(
        call->cols, [=](auto layout) { return launchBackward<decltype(layout)>(*call, *io, stream); });
  });
}
