#include "cpu_block.h"

// Backward, chunk by chunk from the end: a chunk's states are computed anew from the kept one, then the
// adjoint runs back through them.

namespace longscan {
namespace LONGSCAN_LEVEL {

/// What a thread holds beside the constants, in units of [N, 2, width].
template <typename Real>
struct BlockScratch : BlockConstants<Real> {
  Real* adjoint;
  Real *gradLambda, *gradW;            // of all tokens so far
  Real *chunkGradLambda, *chunkGradW;  // of the chunk: a sum of sums is the more exact
  Real* states;                        // before each token of the chunk and after the last

  BlockScratch(const LtiScan<Real>& call, int64_t c, Lanes<Real> lanes, Real* scratch)
      : BlockConstants<Real>(call, c, lanes, scratch) {
    const int64_t block = call.N * 2 * Vec<Real>::width;
    adjoint = this->rest;
    gradLambda = adjoint + block;
    gradW = gradLambda + block;
    chunkGradLambda = gradW + block;
    chunkGradW = chunkGradLambda + block;
    states = chunkGradW + block;
  }
};

/// States of a chunk, and its dw. At a document start the state before the token becomes zero.
template <bool isComplex, typename Real>
static void recompute(const LtiScanBackward<Real>& task, Chunk chunk, int64_t c, Lanes<Real> lanes,
                      BlockScratch<Real>& s) {
  using C = Complex<Real>;
  using S = Signal<isComplex, Real>;
  constexpr int pair = 2 * Vec<Real>::width;
  const LtiScan<Real>& call = task.call;
  const int64_t N = call.N;
  const int64_t numChunks = (call.T + ltiChunk - 1) / ltiChunk;
  const int64_t index = chunk.b * numChunks + chunk.begin / ltiChunk;
  setZero(s.chunkGradW, N * pair);
  loadChannels(task.checkpoints + (index * call.C + c) * 2 * N, lanes, 2 * N, s.states);
  for (int64_t t = chunk.begin; t < chunk.end; t++) {
    const int64_t row = chunk.b * call.T + t;
    Real* state = s.states + (t - chunk.begin) * N * pair;
    if (startsDocument(call.resets, row)) setZero(state, N * pair);
    const C u = S::load(call, call.u, row, c, lanes);
    const C dy = S::load(call, task.dy, row, c, lanes);
    for (int64_t n = 0; n < N; n++) {
      const int64_t i = n * pair;
      const C h = C::load(state + i);
      const C next = h + S::add(C::load(s.lambda + i) * h, u);
      next.store(state + N * pair + i);
      (C::load(s.chunkGradW + i) + S::conjugateTimes(next, dy)).store(s.chunkGradW + i);
    }
  }
}

/// The adjoint back through a chunk: du, and the chunk's share of the gradient of log λ.
template <bool isComplex, typename Real>
static void sweepBack(const LtiScanBackward<Real>& task, Chunk chunk, int64_t c, Lanes<Real> lanes,
                      BlockScratch<Real>& s) {
  using C = Complex<Real>;
  using S = Signal<isComplex, Real>;
  constexpr int pair = 2 * Vec<Real>::width;
  const LtiScan<Real>& call = task.call;
  const int64_t N = call.N;
  setZero(s.chunkGradLambda, N * pair);
  for (int64_t t = chunk.end - 1; t >= chunk.begin; t--) {
    const int64_t row = chunk.b * call.T + t;
    const Real* before = s.states + (t - chunk.begin) * N * pair;
    const C dy = S::load(call, task.dy, row, c, lanes);
    C du = C::zero();
    for (int64_t n = 0; n < N; n++) {
      const int64_t i = n * pair;
      const C total = C::load(s.adjoint + i) + S::conjugateTimes(C::load(s.w + i), dy);
      const C carried = total + C::conjugateTimes(C::load(s.lambda + i), total);
      du = du + total;
      const C decayed = C::conjugateTimes(C::load(before + i), carried);
      (C::load(s.chunkGradLambda + i) + decayed).store(s.chunkGradLambda + i);
      carried.store(s.adjoint + i);
    }
    S::store(call, du, task.du, row, c, lanes);
    if (startsDocument(call.resets, row)) setZero(s.adjoint, N * pair);  // no earlier token had a part in it
  }
  for (int64_t i = 0; i < N * pair; i++) {
    s.gradLambda[i] += s.chunkGradLambda[i];
    s.gradW[i] += s.chunkGradW[i];
  }
}

/// All batch rows of one block, one after the other: they share the parameters' gradients.
template <bool isComplex, typename Real>
static void backward(const LtiScanBackward<Real>& task, int64_t, int64_t c, Lanes<Real> lanes,
                     Real* scratch) {
  const LtiScan<Real>& call = task.call;
  const int64_t N = call.N, size = 2 * N;
  BlockScratch<Real> s(call, c, lanes, scratch);
  setZero(s.gradLambda, size * Vec<Real>::width);
  setZero(s.gradW, size * Vec<Real>::width);
  for (int64_t b = 0; b < call.B; b++) {
    const int64_t state = (b * call.C + c) * size;
    loadChannels(task.dht == nullptr ? nullptr : task.dht + state, lanes, size, s.adjoint);
    for (int64_t last = call.T; last > 0;) {
      const Chunk chunk{b, (last - 1) / ltiChunk * ltiChunk, last};
      recompute<isComplex>(task, chunk, c, lanes, s);
      sweepBack<isComplex>(task, chunk, c, lanes, s);
      last = chunk.begin;
    }
    storeChannels(s.adjoint, lanes, size, task.dh0 + state);
  }
  storeChannels(s.gradLambda, lanes, size, task.dLogLambda + c * size);
  storeChannels(s.gradW, lanes, size, task.dw + c * size);
}

LONGSCAN_LTI_BLOCKS(ltiScanBackward, LtiScanBackward, backward)

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
