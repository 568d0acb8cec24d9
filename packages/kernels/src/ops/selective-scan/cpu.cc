#include "../../core/lanes.h"
#include "selective_scan.h"

// Forward: the sweep over a slice, and the adjoint of the incoming state.

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
static void forward(const SelectiveScanForward<Real>& task, int64_t b, int64_t d, Lanes<Real> lanes,
                    Real* scratch) {
  using V = Vec<Real>;
  constexpr int width = V::width;
  const SelectiveScan<Real>& call = task.call;
  const int64_t N = call.N;
  Real* A = scratch;
  Real* state = scratch + N * width;
  loadChannels(call.A + d * N, lanes, N, A);
  loadChannels(task.h0 == nullptr ? nullptr : task.h0 + (b * call.D + d) * N, lanes, N, state);
  double sumDelta[width] = {};
  const int64_t numChunks = (call.T + selectiveChunk - 1) / selectiveChunk;
  for (int64_t t = 0; t < call.T; t++) {
    const int64_t row = b * call.T + t;
    if (task.checkpoints != nullptr && t % selectiveChunk == 0) {
      const int64_t chunk = b * numChunks + t / selectiveChunk;
      storeChannels(state, lanes, N, task.checkpoints + (chunk * call.D + d) * N);
    }
    if (startsDocument(call.resets, row)) setZero(state, N * width);
    const V delta = lanes.load(call.delta + row * call.D + d);
    const V input = delta * lanes.load(call.x + row * call.D + d);
    const Real* inB = call.inB + row * N;
    const Real* outC = call.outC + row * N;
    for (int c = 0; task.sumDelta != nullptr && c < width; c++)
      sumDelta[c] += static_cast<double>(delta.v[c]);
    V y = V::zero();
    for (int64_t n = 0; n < N; n++) {
      const V decay = vexp(delta * V::load(A + n * width));
      const V next = decay * V::load(state + n * width) + input * V::set(inB[n]);
      next.store(state + n * width);
      y = y + V::set(outC[n]) * next;
    }
    if (task.y != nullptr) lanes.store(y, task.y + row * call.D + d);
  }
  storeChannels(state, lanes, N, task.state + (b * call.D + d) * N);
  if (task.sumDelta == nullptr) return;
  for (int c = 0; c < lanes.count; c++) {
    task.sumDelta[b * call.D + d + c] = static_cast<Real>(sumDelta[c]);
  }
}

template <typename Real>
static void adjoint(const SelectiveScanAdjoint<Real>& task, int64_t b, int64_t d, Lanes<Real> lanes,
                    Real* scratch) {
  using V = Vec<Real>;
  constexpr int width = V::width;
  const SelectiveScan<Real>& call = task.call;
  const int64_t N = call.N;
  Real* A = scratch;
  Real* state = scratch + N * width;
  loadChannels(call.A + d * N, lanes, N, A);
  setZero(state, N * width);
  // No later document depends on the incoming state.
  const int64_t end = numUntilStart(call.resets, b * call.T, call.T);
  for (int64_t t = end - 1; t >= 0; t--) {
    const int64_t row = b * call.T + t;
    const V delta = lanes.load(call.delta + row * call.D + d);
    const V dy = lanes.load(task.dy + row * call.D + d);
    const Real* outC = call.outC + row * N;
    for (int64_t n = 0; n < N; n++) {
      const V decay = vexp(delta * V::load(A + n * width));
      const V total = V::load(state + n * width) + V::set(outC[n]) * dy;
      (decay * total).store(state + n * width);
    }
  }
  storeChannels(state, lanes, N, task.adjoint + (b * call.D + d) * N);
}

// Each block of a call, in the two types.
#define LONGSCAN_BLOCKS(name, Task, perBlock)                                                       \
  void name(const Task<float>& task, int64_t begin, int64_t end, float* scratch) {                  \
    forLaneBlocks<float>(task.call.D, begin, end, [&](int64_t b, int64_t d, Lanes<float> lanes) {   \
      perBlock(task, b, d, lanes, scratch);                                                         \
    });                                                                                             \
  }                                                                                                 \
  void name(const Task<double>& task, int64_t begin, int64_t end, double* scratch) {                \
    forLaneBlocks<double>(task.call.D, begin, end, [&](int64_t b, int64_t d, Lanes<double> lanes) { \
      perBlock(task, b, d, lanes, scratch);                                                         \
    });                                                                                             \
  }
LONGSCAN_BLOCKS(selectiveScanForward, SelectiveScanForward, forward)
LONGSCAN_BLOCKS(selectiveScanAdjoint, SelectiveScanAdjoint, adjoint)
#undef LONGSCAN_BLOCKS

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
