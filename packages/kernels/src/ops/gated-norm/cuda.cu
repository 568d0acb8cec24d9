#include "cuda.h"

#include "cuda/elements.cuh"
#include "cuda/held_rows.cuh"
#include "cuda/sigmoid.cuh"

namespace longscan {

namespace {

/// A gate's activation and its slope.
template <bool isSilu>
struct GateValue {
  float value, slope;

  __device__ explicit GateValue(float gate) {
    const SigmoidPair s(gate);
    value = isSilu ? gate * s.plus : s.plus;
    slope = s.plus * (isSilu ? 1.0f + gate * s.minus : s.minus);
  }
};

template <typename Layout, bool isSilu>
__global__ void __launch_bounds__(Layout::threads, 768 / Layout::threads)
    forwardKernel(const HeldRows rows, int groupsAtOnce, const LongscanGatedNorm call,
                  typename Layout::Element* y, float* rstds) {
  using Element = typename Layout::Element;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  const RowThread<Layout> thread(rows, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  RowReduction<Layout, atOnce> reduce;
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    RowPart<Layout> x[atOnce], gate[atOnce];
    float squares[atOnce] = {};
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      thread.load(x[r], static_cast<const Element*>(call.x), thread.row(first, r));
      thread.load(gate[r], static_cast<const Element*>(call.gate), thread.row(first, r));
    }
#pragma unroll
    for (int r = 0; r < atOnce; r++)
#pragma unroll
      for (int i = 0; i < Layout::numbers; i++) squares[r] += x[r][i] * x[r][i];
    reduce(squares);
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const int64_t row = thread.row(first, r);
      const float rstd = rsqrtf(squares[r] / static_cast<float>(rows.cols) + call.eps);
      if (row >= 0 && thread.isFirstOfRow()) rstds[row] = rstd;
      x[r].forgetDerived(), gate[r].forgetDerived();
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const int at = p * width + i;
          x[r].set(at, x[r][at] * rstd * weight[i] * GateValue<isSilu>(gate[r][at]).value);
        }
      }
      thread.store(y, row, x[r]);
    }
  }
}

/// With n = x rstd, a = act(gate) and g = dy a weight: dx = rstd (g - n mean(g n)), dGate = dy n weight a',
/// dWeight += dy a n.
template <typename Layout, bool isSilu>
__global__ void __launch_bounds__(Layout::threads, 512 / Layout::threads)
    backwardKernel(const HeldRows rows, int groupsAtOnce, const LongscanGatedNorm call,
                   const LongscanGatedNormBackward io) {
  using Element = typename Layout::Element;
  constexpr int atOnce = Layout::rowsAtOnce, width = Layout::width;
  const RowThread<Layout> thread(rows, groupsAtOnce);
  const RowWeights<Layout> weights(thread, call.weight, 1.0f);
  float dWeights[Layout::numbers] = {};
  RowReduction<Layout, atOnce> reduce;
  for (int64_t first = thread.begin; first < thread.end; first += thread.step) {
    RowPart<Layout> dy[atOnce], x[atOnce], gate[atOnce];
    float rstd[atOnce], dots[atOnce] = {};
    const auto loadGate = [&](int r, int p) {
      thread.loadPart(gate[r], p, static_cast<const Element*>(call.gate), thread.row(first, r));
    };
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const int64_t row = thread.row(first, r);
      thread.load(dy[r], static_cast<const Element*>(io.dy), row);
      thread.load(x[r], static_cast<const Element*>(call.x), row);
      if (!Layout::isLong)
#pragma unroll
        for (int p = 0; p < Layout::packs; p++) loadGate(r, p);
      rstd[r] = row >= 0 ? io.rstd[row] : 0.0f;
    }
#pragma unroll
    for (int r = 0; r < atOnce; r++)
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        if (Layout::isLong) loadGate(r, p);
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const int at = p * width + i;
          dots[r] += dy[r][at] * weight[i] * GateValue<isSilu>(gate[r][at]).value * x[r][at];
        }
      }
    reduce(dots);
#pragma unroll
    for (int r = 0; r < atOnce; r++) {
      const int64_t row = thread.row(first, r);
      dy[r].forgetDerived(), x[r].forgetDerived(), gate[r].forgetDerived();
      const float shift = rstd[r] * rstd[r] * rstd[r] * dots[r] / static_cast<float>(rows.cols);
#pragma unroll
      for (int p = 0; p < Layout::packs; p++) {
        if (Layout::isLong) loadGate(r, p);
        float weight[width];
        weights.get(weight, p);
#pragma unroll
        for (int i = 0; i < width; i++) {
          const int at = p * width + i;
          const GateValue<isSilu> act(gate[r][at]);
          const float normed = x[r][at] * rstd[r], gated = dy[r][at] * act.value;
          dWeights[at] += gated * normed;
          const float y = normed * weight[i] * act.value;  // as the forward pass rounds it
          gate[r].set(at, dy[r][at] * normed * weight[i] * act.slope);
          x[r].set(at, rstd[r] * (gated * weight[i]) - x[r][at] * shift);
          dy[r].set(at, y);
        }
        thread.storePart(static_cast<Element*>(io.dx), p, row, x[r]);
        thread.storePart(static_cast<Element*>(io.dGate), p, row, gate[r]);
        if (io.y != nullptr) thread.storePart(static_cast<Element*>(io.y), p, row, dy[r]);
      }
    }
  }
  if (io.dWeight != nullptr) thread.storeShare(dWeights, io.dWeight);
}

/// Calls `body` with the layout of the rows and, as a constant, whether the gate's activation is SiLU.
template <typename Body>
cudaError_t withKind(const LongscanGatedNorm& call, Body body) {
  return withElement(call.type == longscanElementBf16, [=](auto* none) {
    return withRowLayout<std::remove_pointer_t<decltype(none)>>(call.cols, [=](auto layout) {
      return call.isSilu ? body(layout, std::true_type()) : body(layout, std::false_type());
    });
  });
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanGatedNormForward(const LongscanGatedNorm* call, void* y, float* rstd, CUstream_st* stream) {
  if (call->rows == 0) return cudaSuccess;
  return withKind(*call, [=](auto layout, auto isSilu) {
    using Layout = decltype(layout);
    const HeldRows rows{call->rows, 1, call->cols};
    const HeldRowsBlock<Layout> block(rows);
    forwardKernel<Layout, isSilu.value><<<block.grid(rows, block.steps(rows)), block.size, 0, stream>>>(
        rows, static_cast<int>(block.groupsAtOnce), *call, static_cast<typename Layout::Element*>(y), rstd);
    return cudaGetLastError();
  });
}

int longscanGatedNormBackward(const LongscanGatedNorm* call, const LongscanGatedNormBackward* io,
                              CUstream_st* stream) {
  if (call->rows == 0 && io->dWeight == nullptr) return cudaSuccess;
  return withKind(*call, [=](auto layout, auto isSilu) {
    using Layout = decltype(layout);
    const HeldRows rows{call->rows, 1, call->cols};
    const HeldRowsBlock<Layout> block(rows);
    const dim3 grid = block.grid(rows, io->dWeight ? io->shares : block.shares(rows));
    backwardKernel<Layout, isSilu.value>
        <<<grid, block.size, 0, stream>>>(rows, static_cast<int>(block.groupsAtOnce), *call, *io);
    return cudaGetLastError();
  });
}
