#include "../../core/lanes.h"
#include "selective_scan.h"

// Backward, chunk by chunk from the end: a chunk's states are computed anew from the kept one, then the
// adjoint runs back through them. All channels of a thread go through a chunk before the next one, so that
// what is summed over the channels (dB, dC) stays in vectors, and in the cache, until the chunk is done.

namespace longscan {
namespace LONGSCAN_LEVEL {

/// What a thread holds. Of each block of channels [N, width]: the adjoint and dA. Of the block at work: A,
/// and dA within the chunk, for a sum of sums is the more exact. Of the chunk, [64, N, width]: for each token
/// the state before it, its decays, and dB and dC with one partial sum per lane.
template <typename Real>
struct ChunkScratch {
  Real *A, *chunkGradA, *adjoints, *gradA, *states, *decays, *gradB, *gradC;

  ChunkScratch(Real* memory, int64_t N, int64_t numBlocks) {
    const int64_t block = N * Vec<Real>::width;
    A = memory;
    chunkGradA = A + block;
    states = chunkGradA + block;  // one more than a chunk has tokens
    decays = states + (selectiveChunk + 1) * block;
    gradB = decays + selectiveChunk * block;
    gradC = gradB + selectiveChunk * block;
    adjoints = gradC + selectiveChunk * block;
    gradA = adjoints + numBlocks * block;
  }
};

/// States and decays of a chunk, and its dC. At a document start the state before the token becomes zero.
template <typename Real>
static void recompute(const SelectiveScanBackward<Real>& task, Chunk chunk, int64_t d, Lanes<Real> lanes,
                      ChunkScratch<Real>& s) {
  using V = Vec<Real>;
  constexpr int width = V::width;
  const SelectiveScan<Real>& call = task.call;
  const int64_t N = call.N;
  const int64_t numChunks = (call.T + selectiveChunk - 1) / selectiveChunk;
  const int64_t index = chunk.b * numChunks + chunk.begin / selectiveChunk;
  loadChannels(task.checkpoints + (index * call.D + d) * N, lanes, N, s.states);
  for (int64_t t = chunk.begin; t < chunk.end; t++) {
    const int64_t row = chunk.b * call.T + t;
    const int64_t offset = (t - chunk.begin) * N * width;
    Real* state = s.states + offset;
    if (startsDocument(call.resets, row)) setZero(state, N * width);
    const V delta = lanes.load(call.delta + row * call.D + d);
    const V input = delta * lanes.load(call.x + row * call.D + d);
    const V dy = lanes.load(task.dy + row * call.D + d);
    const Real* inB = call.inB + row * N;
    for (int64_t n = 0; n < N; n++) {
      const V decay = vexp(delta * V::load(s.A + n * width));
      const V next = decay * V::load(state + n * width) + input * V::set(inB[n]);
      decay.store(s.decays + offset + n * width);
      next.store(state + (N + n) * width);
      Real* gradC = s.gradC + offset + n * width;
      (V::load(gradC) + dy * next).store(gradC);
    }
  }
}

/// The adjoint back through a chunk: dx and dDelta, and the chunk's share of dA and dB.
template <typename Real>
static void sweepBack(const SelectiveScanBackward<Real>& task, Chunk chunk, int64_t d, Lanes<Real> lanes,
                      ChunkScratch<Real>& s, Real* adjoint, Real* gradA) {
  using V = Vec<Real>;
  constexpr int width = V::width;
  const SelectiveScan<Real>& call = task.call;
  const int64_t N = call.N;
  setZero(s.chunkGradA, N * width);
  for (int64_t t = chunk.end - 1; t >= chunk.begin; t--) {
    const int64_t row = chunk.b * call.T + t;
    const int64_t offset = (t - chunk.begin) * N * width;
    const V delta = lanes.load(call.delta + row * call.D + d);
    const V x = lanes.load(call.x + row * call.D + d);
    const V dy = lanes.load(task.dy + row * call.D + d);
    const V input = delta * x;
    const Real* inB = call.inB + row * N;
    const Real* outC = call.outC + row * N;
    V throughInput = V::zero();
    V throughDecay = V::zero();
    for (int64_t n = 0; n < N; n++) {
      const int64_t i = offset + n * width;
      const V total = V::load(adjoint + n * width) + V::set(outC[n]) * dy;
      const V carried = V::load(s.decays + i) * total;
      const V decayed = carried * V::load(s.states + i);
      throughInput = throughInput + V::set(inB[n]) * total;
      throughDecay = throughDecay + V::load(s.A + n * width) * decayed;
      Real* chunkGradA = s.chunkGradA + n * width;
      (V::load(chunkGradA) + delta * decayed).store(chunkGradA);
      (V::load(s.gradB + i) + input * total).store(s.gradB + i);
      carried.store(adjoint + n * width);
    }
    if (startsDocument(call.resets, row)) setZero(adjoint, N * width);
    lanes.store(delta * throughInput, task.dx + row * call.D + d);
    lanes.store(x * throughInput + throughDecay, task.dDelta + row * call.D + d);
  }
  for (int64_t i = 0; i < N * width; i++) gradA[i] += s.chunkGradA[i];
}

/// One number per vector of [count, width].
template <typename Real>
static inline void sumLanes(const Real* from, int64_t count, Real* to) {
  for (int64_t i = 0; i < count; i++) to[i] = Vec<Real>::load(from + i * Vec<Real>::width).sum();
}

template <typename Real>
static void backward(const SelectiveScanBackward<Real>& task, int64_t begin, int64_t end, Real* scratch) {
  constexpr int width = Vec<Real>::width;
  const SelectiveScan<Real>& call = task.call;
  const int64_t N = call.N, block = N * width;
  ChunkScratch<Real> s(scratch, N, (end - begin + width - 1) / width);
  const auto blockOf = [=](int64_t d) { return (d - begin) / width * block; };
  forLanes<Real>(begin, end, [&](int64_t d, Lanes<Real>) { setZero(s.gradA + blockOf(d), block); });
  for (int64_t b = 0; b < call.B; b++) {
    forLanes<Real>(begin, end, [&](int64_t d, Lanes<Real> lanes) {
      loadChannels(task.dht == nullptr ? nullptr : task.dht + (b * call.D + d) * N, lanes, N,
                   s.adjoints + blockOf(d));
    });
    for (int64_t last = call.T; last > 0;) {
      const Chunk chunk{b, (last - 1) / selectiveChunk * selectiveChunk, last};
      const int64_t numTokens = chunk.end - chunk.begin;
      setZero(s.gradB, numTokens * block);
      setZero(s.gradC, numTokens * block);
      forLanes<Real>(begin, end, [&](int64_t d, Lanes<Real> lanes) {
        loadChannels(call.A + d * N, lanes, N, s.A);
        recompute(task, chunk, d, lanes, s);
        sweepBack(task, chunk, d, lanes, s, s.adjoints + blockOf(d), s.gradA + blockOf(d));
      });
      const int64_t row = b * call.T + chunk.begin;
      sumLanes(s.gradB, numTokens * N, task.dB + row * N);
      sumLanes(s.gradC, numTokens * N, task.dC + row * N);
      last = chunk.begin;
    }
    forLanes<Real>(begin, end, [&](int64_t d, Lanes<Real> lanes) {
      storeChannels(s.adjoints + blockOf(d), lanes, N, task.dh0 + (b * call.D + d) * N);
    });
  }
  forLanes<Real>(begin, end, [&](int64_t d, Lanes<Real> lanes) {
    storeChannels(s.gradA + blockOf(d), lanes, N, task.dA + d * N);
  });
}

void selectiveScanBackward(const SelectiveScanBackward<float>& task, int64_t begin, int64_t end,
                           float* scratch) {
  backward(task, begin, end, scratch);
}

void selectiveScanBackward(const SelectiveScanBackward<double>& task, int64_t begin, int64_t end,
                           double* scratch) {
  backward(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
