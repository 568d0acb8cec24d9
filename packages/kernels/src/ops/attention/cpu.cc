#include "cpu_block.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Running softmax of one block of queries: after some keys, o = Σ exp(score - top) v and sum = Σ exp(score -
/// top).
template <typename Real>
struct Softmax {
  Real *o, *top, *sum, *rescale;
};

/// Goes on from the result over other keys: their sum of exponentials is one exponential more.
template <typename Real>
static inline void resumeSoftmax(const AttentionForward<Real>& task, const QueryBlock<Real>& queries,
                                 Softmax<Real>& state) {
  const Attention<Real>& c = task.call;
  loadHead(task.o, queries.b, c.T, c.H, queries.h, c.V, queries.token, Q, Real(1), state.o);
  for (int i = 0; i < Q; i++) {
    state.top[i] = i < queries.numQueries ? task.lse[queries.at(i, c.H, queries.h, 1)] : -INFINITY;
    state.sum[i] = state.top[i] == -INFINITY ? 0 : 1;
  }
}

/// Starts with each query's own key, or with none.
template <typename Real>
static inline void startSoftmax(const QueryBlock<Real>& queries, const Real* q, Scratch<Real> scratch,
                                Softmax<Real>& state) {
  const Attention<Real>& c = queries.call;
  const int Kp = padded(c.K), Vp = padded(c.V);
  if (c.kSelf == nullptr) {
    for (int i = 0; i < Q * Vp; i++) state.o[i] = 0;
    for (int i = 0; i < Q; i++) state.top[i] = -INFINITY, state.sum[i] = 0;
    return;
  }
  Real* own = scratch.take(Q * Kp);
  loadHead(c.kSelf, queries.b, c.T, c.G, queries.group(), c.K, queries.token, Q, Real(1), own);
  loadHead(c.vSelf, queries.b, c.T, c.G, queries.group(), c.V, queries.token, Q, Real(1), state.o);
  for (int i = 0; i < Q; i++) state.top[i] = dotProduct(q + i * Kp, own + i * Kp, Kp), state.sum[i] = 1;
}

/// scores -> exp(scores - top) over the visible keys of query i, 0 elsewhere; `top`, `sum` and `rescale`
/// follow.
template <typename Real>
static inline void softmaxRow(const Visible& visible, int i, Real* scores, Softmax<Real>& state) {
  using V = Vec<Real>;
  Real* row = scores + i * N;
  const int low = visible.low[i], high = visible.high[i];
  state.rescale[i] = 1;
  if (low >= high) return;
  for (int j = 0; j < low; j++) row[j] = -INFINITY;
  for (int j = high; j < N; j++) row[j] = -INFINITY;
  V top = V::set(state.top[i]);
  for (int j = 0; j < N; j += V::width) top = vmax(top, V::load(row + j));
  Real highest = top.v[0];
  for (int lane = 1; lane < V::width; lane++) highest = top.v[lane] > highest ? top.v[lane] : highest;
  V sum = V::zero();
  for (int j = 0; j < N; j += V::width) {
    const V weight = vexp(V::load(row + j) - V::set(highest));
    weight.store(row + j);
    sum = sum + weight;
  }
  state.rescale[i] = std::exp(state.top[i] - highest);
  state.sum[i] = state.sum[i] * state.rescale[i] + sum.sum();
  state.top[i] = highest;
}

template <typename Real>
static void forwardBlock(const AttentionForward<Real>& task, const QueryBlock<Real>& queries,
                         Scratch<Real> scratch) {
  const Attention<Real>& c = task.call;
  const int Kp = padded(c.K), Vp = padded(c.V);
  const int64_t g = queries.group();
  Real* q = scratch.take(Q * Kp);
  Real* keyRows = scratch.take(N * Kp);
  Real* keys = scratch.take(N * Kp);
  Real* values = scratch.take(N * Vp);
  Real* scores = scratch.take(Q * N);
  Softmax<Real> state{scratch.take(Q * Vp), scratch.take(Q), scratch.take(Q), scratch.take(Q)};

  loadHead(c.q, queries.b, c.T, c.H, queries.h, c.K, queries.token, Q, c.scale, q);
  if (task.accumulate) {
    resumeSoftmax(task, queries, state);
  } else {
    startSoftmax(queries, q, scratch, state);
  }
  for (int64_t j = queries.keys.first / N * N; j < queries.keys.end; j += N) {
    const Visible visible(queries, j);
    loadHead(c.k, queries.b, c.S, c.G, g, c.K, j, N, Real(1), keyRows);
    transposeKeys(keyRows, Kp, keys);
    multiply<Real, Old::drop>(Q, N, Kp, q, Kp, 1, keys, N, scores, N);
    for (int i = 0; i < queries.numQueries; i++) softmaxRow(visible, i, scores, state);
    loadHead(c.v, queries.b, c.S, c.G, g, c.V, j, N, Real(1), values);
    multiplyVisible(visible, scores, values, Vp, state.o, state.rescale);
  }
  for (int i = 0; i < queries.numQueries; i++) {
    // No key in sight and no own one: zero, not 0 / 0.
    const Real inverse = state.sum[i] > 0 || state.sum[i] != state.sum[i] ? 1 / state.sum[i] : 0;
    Real* o = task.o + queries.at(i, c.H, queries.h, c.V);
    for (int x = 0; x < c.V; x++) o[x] = state.o[i * Vp + x] * inverse;
    task.lse[queries.at(i, c.H, queries.h, 1)] = state.top[i] + std::log(state.sum[i]);
  }
}

template <typename Real>
static void forwardBlocks(const AttentionForward<Real>& task, int64_t begin, int64_t end, void* scratch) {
  const Attention<Real>& c = task.call;
  const int64_t numBlocks = (c.T + Q - 1) / Q;
  for (int64_t block = begin; block < end; block++) {
    const int64_t head = block / numBlocks;
    const QueryBlock<Real> queries(c, head / c.H, head % c.H, block % numBlocks * Q);
    forwardBlock(task, queries, Scratch<Real>(scratch));
  }
}

template <typename Real>
static void moveEnds(const ChunkEnds<Real>& c, int64_t begin, int64_t end) {
  for (int64_t b = begin; b < end; b++) {
    Real* tokens = c.tokens + b * c.T * c.rowSize;
    Real* ends = c.ends + b * c.slots * c.rowSize;
    Real* cleared = c.backward ? tokens : ends;
    for (int64_t i = 0; i < (c.backward ? c.T : c.slots) * c.rowSize; i++) cleared[i] = 0;
    for (int64_t t = 0; t < c.T; t++) {
      const int64_t index = c.tokenOffset + t;
      const int64_t position = c.positions == nullptr ? index : c.positions[b * c.T + t];
      if (position % c.chunk != c.chunk - 1) continue;
      const int64_t slot = index / c.chunk - c.tokenOffset / c.chunk;
      const Real* from = c.backward ? ends + slot * c.rowSize : tokens + t * c.rowSize;
      Real* to = c.backward ? tokens + t * c.rowSize : ends + slot * c.rowSize;
      for (int64_t i = 0; i < c.rowSize; i++) to[i] = from[i];
    }
  }
}

void attentionForward(const AttentionForward<float>& task, int64_t begin, int64_t end, void* scratch) {
  forwardBlocks(task, begin, end, scratch);
}

void attentionForward(const AttentionForward<double>& task, int64_t begin, int64_t end, void* scratch) {
  forwardBlocks(task, begin, end, scratch);
}

void chunkEnds(const ChunkEnds<float>& task, int64_t begin, int64_t end) {
  moveEnds(task, begin, end);
}

void chunkEnds(const ChunkEnds<double>& task, int64_t begin, int64_t end) {
  moveEnds(task, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
