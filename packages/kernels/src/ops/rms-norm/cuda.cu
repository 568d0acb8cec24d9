#include "cuda.h"

#include "cuda/elements.cuh"
#include "cuda/row_stream.cuh"

namespace longscan {

namespace {

template <typename Layout, bool isResidual>
using ForwardStream = RowStream<Layout, isResidual ? 2 : 1, false>;

template <typename Layout, bool isResidual>
__global__ void __launch_bounds__(Layout::threads, Layout::blocksAtOnce)
    forwardKernel(const HeldRows shape, int groupsAtOnce, const LongscanRmsNorm call,
                  const LongscanRmsNormForward io) {
  using Element = typename Layout::Element;
  using Stream = ForwardStream<Layout, isResidual>;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  extern __shared__ __align__(16) char memory[];
  const RowThread<Layout> thread(shape, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  const float divisor = call.weight ? static_cast<float>(shape.cols) : 1.0f;
  RowReduction<Layout, atOnce> reduce;
  const auto stream = [&] {
    if constexpr (isResidual)
      return Stream(thread, memory, {io.x, io.branch}, nullptr);
    else
      return Stream(thread, memory, {io.x}, nullptr);
  }();
  stream.forEach([&](int64_t first, typename Stream::Rows& rows) {
    auto& x = rows.parts[0];
    float squares[atOnce] = {};
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      if constexpr (isResidual) {
#pragma unroll
        for (int i = 0; i < Layout::numbers; i++) x[r].set(i, x[r][i] + rows.parts[1][r][i]);
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

/// Beside so much of two rows a third is fetched when it is added.
template <typename Layout, bool isResidual>
using BackwardStream = RowStream<Layout, isResidual && !Layout::isLong ? 3 : 2, true>;

/// With n = x rstd and g = dy weight: dx = rstd (g - n mean(g n)) + dStream, dWeight += dy n.
template <typename Layout, bool isResidual>
__global__ void __launch_bounds__(Layout::threads, 512 / Layout::threads)
    backwardKernel(const HeldRows shape, int groupsAtOnce, const LongscanRmsNorm call,
                   const LongscanRmsNormBackward io) {
  using Element = typename Layout::Element;
  using Stream = BackwardStream<Layout, isResidual>;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  extern __shared__ __align__(16) char memory[];
  const RowThread<Layout> thread(shape, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  const float divisor = call.weight ? static_cast<float>(shape.cols) : 1.0f;
  float dWeights[Layout::numbers] = {};
  RowReduction<Layout, atOnce> reduce;
  const auto stream = [&] {
    if constexpr (isResidual && !Layout::isLong)
      return Stream(thread, memory, {io.dy, io.x, io.dStream}, io.rstd);
    else
      return Stream(thread, memory, {io.dy, io.x}, io.rstd);
  }();
  stream.forEach([&](int64_t first, typename Stream::Rows& rows) {
    auto &dy = rows.parts[0], &x = rows.parts[1];
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
      const float rstd = rows.scales[r], shift = rstd * rstd * rstd * dots[r] / divisor;
      dy[r].forgetDerived(), x[r].forgetDerived();
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        RowPart<Layout> late;
        if constexpr (isResidual && Layout::isLong)
          thread.loadPart(late, p, static_cast<const Element*>(io.dStream), thread.row(first, r));
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const int at = p * width + i;
          dWeights[at] += dy[r][at] * (x[r][at] * rstd);
          float dx = rstd * (dy[r][at] * weight[i]) - x[r][at] * shift;
          if constexpr (isResidual && Layout::isLong) dx += late[at];
          if constexpr (isResidual && !Layout::isLong) dx += rows.parts[2][r][at];
          x[r].set(at, dx);
        }
      }
      thread.store(static_cast<Element*>(io.dx), thread.row(first, r), x[r]);
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
  const auto run = [&](auto kernel, size_t bytes) {
    const cudaError_t error = allowShared(kernel, bytes);
    if (error) return error;
    return launchBehind(kernel, grid, block.size, bytes, stream, rows, static_cast<int>(block.groupsAtOnce),
                        call, io);
  };
  return io.dStream ? run(backwardKernel<Layout, true>, BackwardStream<Layout, true>::sharedBytes())
                    : run(backwardKernel<Layout, false>, BackwardStream<Layout, false>::sharedBytes());
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
      const auto run = [&](auto kernel, size_t bytes) {
        const cudaError_t error = allowShared(kernel, bytes);
        if (error) return error;
        return launchBehind(kernel, block.grid(rows, block.shares(rows)), block.size, bytes, stream, rows,
                            static_cast<int>(block.groupsAtOnce), *call, *io);
      };
      return io->branch ? run(forwardKernel<Layout, true>, ForwardStream<Layout, true>::sharedBytes())
                        : run(forwardKernel<Layout, false>, ForwardStream<Layout, false>::sharedBytes());
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
