#include "cpu_block.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// One block of queries in the backward pass. `delta` = Σ dO · o per query.
template <typename Real>
struct BackwardRows {
  Real *q, *dO, *dq, *lse, *delta, *ones;
};

/// One block of keys, and products of both.
template <typename Real>
struct BackwardKeys {
  Real *rows, *keys, *values, *valueRows, *weights, *scoreGrads, *dk, *dv;
};

template <typename Real>
static inline void loadQueries(const AttentionBackward<Real>& task, const QueryBlock<Real>& queries,
                               BackwardRows<Real>& rows, Real* o) {
  const Attention<Real>& c = task.call;
  const int Kp = padded(c.K), Vp = padded(c.V);
  loadHead(c.q, queries.b, c.T, c.H, queries.h, c.K, queries.token, Q, c.scale, rows.q);
  loadHead(task.dO, queries.b, c.T, c.H, queries.h, c.V, queries.token, Q, Real(1), rows.dO);
  loadHead(task.o, queries.b, c.T, c.H, queries.h, c.V, queries.token, Q, Real(1), o);
  for (int i = 0; i < Q; i++) {
    rows.lse[i] = i < queries.numQueries ? task.lse[queries.at(i, c.H, queries.h, 1)] : 0;
    rows.delta[i] = dotProduct(rows.dO + i * Vp, o + i * Vp, Vp);
    rows.ones[i] = 1;
  }
  for (int i = 0; i < Q * Kp; i++) rows.dq[i] = 0;
}

/// to[row] += from[row] for the rows [begin, end) of a block of keys, one head of [B, S, G, size].
template <typename Real>
static inline void addHead(const Real* from, int64_t b, int64_t S, int64_t G, int64_t g, int size,
                           int64_t firstKey, int begin, int end, Real* to) {
  for (int j = begin; j < end; j++) {
    Real* target = to + ((b * S + firstKey + j) * G + g) * size;
    for (int x = 0; x < size; x++) target[x] += from[j * padded(size) + x];
  }
}

template <typename Real>
static inline void backwardKeys(const AttentionBackward<Real>& task, const QueryBlock<Real>& queries,
                                int64_t firstKey, BackwardRows<Real>& rows, BackwardKeys<Real>& block) {
  using V = Vec<Real>;
  const Attention<Real>& c = task.call;
  const int Kp = padded(c.K), Vp = padded(c.V);
  const int64_t g = queries.group();
  const Visible visible(queries, firstKey);
  loadHead(c.k, queries.b, c.S, c.G, g, c.K, firstKey, N, Real(1), block.rows);
  loadHead(c.v, queries.b, c.S, c.G, g, c.V, firstKey, N, Real(1), block.valueRows);
  transposeKeys(block.rows, Kp, block.keys);
  transposeKeys(block.valueRows, Vp, block.values);
  multiply<Real, Old::drop>(Q, N, Kp, rows.q, Kp, 1, block.keys, N, block.weights, N);
  multiply<Real, Old::drop>(Q, N, Vp, rows.dO, Vp, 1, block.values, N, block.scoreGrads, N);
  for (int i = 0; i < queries.numQueries; i++) {
    for (int j = 0; j < N; j += V::width) {
      const V weight = vexp(V::load(block.weights + i * N + j) - V::set(rows.lse[i]));
      weight.store(block.weights + i * N + j);
      (weight * (V::load(block.scoreGrads + i * N + j) - V::set(rows.delta[i])))
          .store(block.scoreGrads + i * N + j);
    }
  }
  multiplyVisible(visible, block.scoreGrads, block.rows, Kp, rows.dq, rows.ones);
  multiplySeeing(visible, block.scoreGrads, rows.q, Kp, block.dk);
  multiplySeeing(visible, block.weights, rows.dO, Vp, block.dv);
  const int begin = static_cast<int>(queries.keys.first > firstKey ? queries.keys.first - firstKey : 0);
  const int end = static_cast<int>(queries.keys.end < firstKey + N ? queries.keys.end - firstKey : N);
  addHead(block.dk, queries.b, c.S, c.G, g, c.K, firstKey, begin, end, task.dk);
  addHead(block.dv, queries.b, c.S, c.G, g, c.V, firstKey, begin, end, task.dv);
}

/// The query's own key and value; the first head of a group writes their gradients unless they accumulate,
/// the others add.
template <typename Real>
static inline void backwardSelf(const AttentionBackward<Real>& task, const QueryBlock<Real>& queries,
                                BackwardRows<Real>& rows) {
  const Attention<Real>& c = task.call;
  const int Kp = padded(c.K), Vp = padded(c.V);
  const bool isFirst = !task.accumulate && queries.h % (c.H / c.G) == 0;
  for (int i = 0; i < queries.numQueries; i++) {
    const int64_t key = queries.at(i, c.G, queries.group(), c.K),
                  value = queries.at(i, c.G, queries.group(), c.V);
    const Real *q = rows.q + i * Kp, *dO = rows.dO + i * Vp;
    Real score = 0, change = 0;
    for (int x = 0; x < c.K; x++) score += q[x] * c.kSelf[key + x];
    for (int x = 0; x < c.V; x++) change += dO[x] * c.vSelf[value + x];
    const Real weight = std::exp(score - rows.lse[i]);
    const Real dScore = weight * (change - rows.delta[i]);
    Real *dk = task.dkSelf + key, *dv = task.dvSelf + value;
    for (int x = 0; x < c.K; x++) {
      rows.dq[i * Kp + x] += dScore * c.kSelf[key + x];
      dk[x] = (isFirst ? 0 : dk[x]) + dScore * q[x];
    }
    for (int x = 0; x < c.V; x++) dv[x] = (isFirst ? 0 : dv[x]) + weight * dO[x];
  }
}

template <typename Real>
static inline void clearHead(Real* to, int64_t b, int64_t S, int64_t G, int64_t g, int size) {
  for (int64_t s = 0; s < S; s++) {
    Real* row = to + ((b * S + s) * G + g) * size;
    for (int x = 0; x < size; x++) row[x] = 0;
  }
}

/// All queries of a key head, in order: its dk and dv are sums over them.
template <typename Real>
static void backwardHeads(const AttentionBackward<Real>& task, int64_t begin, int64_t end, void* memory) {
  const Attention<Real>& c = task.call;
  const int Kp = padded(c.K), Vp = padded(c.V);
  Scratch<Real> scratch(memory);
  BackwardRows<Real> rows{scratch.take(Q * Kp), scratch.take(Q * Vp), scratch.take(Q * Kp),
                          scratch.take(Q),      scratch.take(Q),      scratch.take(Q)};
  BackwardKeys<Real> block{scratch.take(N * Kp), scratch.take(N * Kp), scratch.take(N * Vp),
                           scratch.take(N * Vp), scratch.take(Q * N),  scratch.take(Q * N),
                           scratch.take(N * Kp), scratch.take(N * Vp)};
  for (int64_t head = begin; head < end; head++) {
    const int64_t b = head / c.G, g = head % c.G, perGroup = c.H / c.G;
    if (!task.accumulate) {
      clearHead(task.dk, b, c.S, c.G, g, c.K);
      clearHead(task.dv, b, c.S, c.G, g, c.V);
    }
    for (int64_t h = g * perGroup; h < (g + 1) * perGroup; h++) {
      for (int64_t token = 0; token < c.T; token += Q) {
        const QueryBlock<Real> queries(c, b, h, token);
        loadQueries(task, queries, rows, block.dv);
        for (int64_t j = queries.keys.first / N * N; j < queries.keys.end; j += N) {
          backwardKeys(task, queries, j, rows, block);
        }
        if (c.kSelf != nullptr) backwardSelf(task, queries, rows);
        for (int i = 0; i < queries.numQueries; i++) {
          Real* dq = task.dq + queries.at(i, c.H, h, c.K);
          for (int x = 0; x < c.K; x++) {
            dq[x] = (task.accumulate ? dq[x] : 0) + rows.dq[i * Kp + x] * c.scale;
          }
        }
      }
    }
  }
}

void attentionBackward(const AttentionBackward<float>& task, int64_t begin, int64_t end, void* scratch) {
  backwardHeads(task, begin, end, scratch);
}

void attentionBackward(const AttentionBackward<double>& task, int64_t begin, int64_t end, void* scratch) {
  backwardHeads(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
