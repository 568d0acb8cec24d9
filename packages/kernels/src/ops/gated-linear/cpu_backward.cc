#include "cpu_tile.h"

// Backward: the adjoint summary of a slice, the query sweep (forward in time) and the key-value sweep
// (backward).

namespace longscan {
namespace LONGSCAN_LEVEL {

/// state <- total * state + queryRows^T dO: one tile of the adjoint recurrence D.
template <typename Real>
static inline void adjointStep(const GatedLinear<Real>& c, Scratch<Real>& s) {
  scaleRows(c, s.q, s.prefix, c.scale, s.Kp, s.queryRows);
  multiply<Real, Old::scaleRows>(s.Kp, s.Vp, L, s.queryRows, 1, s.Kp, s.o, s.Vp, s.state, s.Vp, s.total);
}

template <typename Real>
static void adjointHead(const GatedLinearAdjoint<Real>& task, int64_t index, Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  const Head<Real> head(c, index);
  const int64_t stateSize = static_cast<int64_t>(c.K) * c.V;
  loadState<Real>(nullptr, c.K, c.V, s.state, s.Kp, s.Vp);
  for (int64_t end = head.firstReset(); end > 0;) {
    const Tile tile = head.tileBefore(end);
    const int64_t t = tile.token;
    loadRows(c.q + head.keyOffset + t * head.keyStride, head.keyStride, tile.numTokens, c.K, s.q, s.Kp);
    loadRows(task.dO + head.valueOffset + t * head.valueStride, head.valueStride, tile.numTokens, c.V, s.o,
             s.Vp);
    loadDecays(head, tile, s);
    adjointStep(c, s);
    end = t;
  }
  storeState(s.state, s.Vp, c.K, c.V, task.adjoint + index * stateSize);
}

/// scoreGrads[i][j] = scale * dO_i . v_j for j <= i, 0 above.
template <typename Real>
static inline void computeScoreGrads(const GatedLinear<Real>& c, Scratch<Real>& s) {
  transposeRows(s.v, s.Vp, s.transposed);
  multiply<Real, Old::drop>(L, L, s.Vp, s.o, s.Vp, 1, s.transposed, L, s.scoreGrads, L);
  for (int i = 0; i < L; i++) {
    for (int j = 0; j < L; j++) {
      const Real ratio = c.decay == Decay::diagonal ? Real(1) : s.ratio[i * L + j];
      s.scoreGrads[i * L + j] = j <= i ? s.scoreGrads[i * L + j] * c.scale * ratio : 0;
    }
  }
}

/// to[x, y] += sum over `weights` of rows that are decayed step by step: the diagonal kinds' inner sums.
template <typename Real>
static inline void addWeighted(const Real* weights, int stride, int first, int last, const Real* rows, int Kp,
                               Real* to) {
  using V = Vec<Real>;
  for (int x = 0; x < Kp; x += V::width) {
    V sum = V::load(to + x);
    for (int j = first; j <= last; j++) sum = sum + V::set(weights[j * stride]) * V::load(rows + j * Kp + x);
    sum.store(to + x);
  }
}

template <typename Real>
static inline void decayRows(int first, int last, const Real* decay, int Kp, Real* rows) {
  using V = Vec<Real>;
  for (int j = first; j <= last; j++) {
    for (int x = 0; x < Kp; x += V::width) {
      (V::load(rows + j * Kp + x) * V::load(decay + x)).store(rows + j * Kp + x);
    }
  }
}

/// grads [L, Kp] += transpose(product [Kp, L]) * decays: what went through the state.
template <typename Real>
static inline void addThroughState(const GatedLinear<Real>& c, const Scratch<Real>& s, const Real* decays,
                                   Real factor, Real* grads) {
  for (int i = 0; i < L; i++) {
    for (int x = 0; x < s.Kp; x++) {
      const Real d = c.decay == Decay::diagonal ? decays[i * s.Kp + x] : decays[i];
      grads[i * s.Kp + x] += s.product[x * L + i] * d * factor;
    }
  }
}

template <typename Real>
static void queryGradHead(const GatedLinearQueryGrad<Real>& task, int64_t index, Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  const Head<Real> head(c, index);
  const int Kp = s.Kp, Vp = s.Vp;
  const int64_t stateSize = static_cast<int64_t>(c.K) * c.V;
  const int64_t numChunks = (c.T + decayChunk - 1) / decayChunk;
  loadState(task.h0 == nullptr ? nullptr : task.h0 + index * stateSize, c.K, c.V, s.state, Kp, Vp);
  for (int64_t t = 0; t < c.T;) {
    const Tile tile = head.tileAt(t);
    const int n = tile.numTokens;
    if (tile.reset) {
      for (int x = 0; x < Kp * Vp; x++) s.state[x] = 0;
    }
    loadRows(c.k + head.keyOffset + t * head.keyStride, head.keyStride, n, c.K, s.k, Kp);
    loadRows(c.v + head.valueOffset + t * head.valueStride, head.valueStride, n, c.V, s.v, Vp);
    loadRows(task.dO + head.valueOffset + t * head.valueStride, head.valueStride, n, c.V, s.o, Vp);
    loadDecays(head, tile, s);
    computeScoreGrads(c, s);
    Real* dq = s.queryRows;
    if (c.decay == Decay::diagonal) {
      for (int x = 0; x < L * Kp; x++) dq[x] = 0, s.moved[x] = s.k[x];
      for (int i = 0; i < L; i++) {
        decayRows(0, i - 1, s.decay + i * Kp, Kp, s.moved);
        addWeighted(s.scoreGrads + i * L, 1, 0, i, s.moved, Kp, dq + i * Kp);
      }
    } else {
      multiply<Real, Old::drop>(L, Kp, L, s.scoreGrads, L, 1, s.k, Kp, dq, Kp);
    }
    transposeRows(s.o, Vp, s.transposed);
    multiply<Real, Old::drop>(Kp, L, c.V, s.state, Vp, 1, s.transposed, L, s.product, L);
    addThroughState(c, s, s.prefix, c.scale, dq);
    storeRows(dq, Kp, n, c.K, task.dq + head.keyOffset + t * head.keyStride, head.keyStride);
    scaleRows(c, s.k, s.suffix, Real(1), Kp, s.keyRows);
    multiply<Real, Old::scaleRows>(Kp, Vp, L, s.keyRows, 1, Kp, s.v, Vp, s.state, Vp, s.total);
    t += n;
    if (task.checkpoints != nullptr && (t % decayChunk == 0 || t == c.T)) {
      Real* to = task.checkpoints + (index * numChunks + (t - 1) / decayChunk) * stateSize;
      for (int x = 0; x < c.K; x++) {
        for (int y = 0; y < c.V; y++) to[x * c.V + y] = s.state[x * Vp + y];
      }
    }
  }
}

/// rowsum over V of checkpoint * D: where the decay gradient of a chunk starts.
template <typename Real>
static inline void decayGradAtEnd(const GatedLinear<Real>& c, const Real* checkpoint, const Scratch<Real>& s,
                                  Real* sum) {
  for (int x = 0; x < s.Kp; x++) sum[x] = 0;
  for (int x = 0; x < c.K; x++) {
    for (int y = 0; y < c.V; y++) sum[x] += checkpoint[x * c.V + y] * s.state[x * s.Vp + y];
  }
}

/// dg of a tile from dq, dk and the running sum from the chunk's end.
template <typename Real>
static inline void storeDecayGrads(const Head<Real>& head, const Tile& tile, Scratch<Real>& s, const Real* dq,
                                   const Real* dk, Real* sum, Real* dg) {
  const GatedLinear<Real>& c = head.call;
  for (int i = tile.numTokens - 1; i >= 0; i--) {
    const int64_t row = head.keyOffset + (tile.token + i) * head.keyStride;
    Real total = 0;
    for (int x = 0; x < c.K; x++) {
      sum[x] += s.q[i * s.Kp + x] * dq[row + x] - s.k[i * s.Kp + x] * dk[i * s.Kp + x];
      total += sum[x];
    }
    // The state before a document's first token is none: its decay has exactly no effect.
    const bool none = tile.reset && i == 0;
    if (c.decay == Decay::diagonal) {
      for (int x = 0; x < c.K; x++) dg[row + x] = none ? 0 : sum[x];
    } else {
      dg[(head.b * c.T + tile.token + i) * c.H + head.h] = none ? 0 : total;
    }
  }
}

template <typename Real>
static void keyValueGradHead(const GatedLinearKeyValueGrad<Real>& task, int64_t index, Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  const Head<Real> head(c, index);
  const int Kp = s.Kp, Vp = s.Vp;
  const int64_t stateSize = static_cast<int64_t>(c.K) * c.V;
  const int64_t numChunks = (c.T + decayChunk - 1) / decayChunk;
  loadState(task.dht == nullptr ? nullptr : task.dht + index * stateSize, c.K, c.V, s.state, Kp, Vp);
  for (int64_t end = c.T; end > 0;) {
    const Tile tile = head.tileBefore(end);
    const int64_t t = tile.token;
    const int n = tile.numTokens;
    if (task.dg != nullptr && (end % decayChunk == 0 || end == c.T)) {
      const int64_t chunk = (end - 1) / decayChunk;
      decayGradAtEnd(c, task.checkpoints + (index * numChunks + chunk) * stateSize, s, s.running);
    }
    loadRows(c.q + head.keyOffset + t * head.keyStride, head.keyStride, n, c.K, s.q, Kp);
    loadRows(c.k + head.keyOffset + t * head.keyStride, head.keyStride, n, c.K, s.k, Kp);
    loadRows(c.v + head.valueOffset + t * head.valueStride, head.valueStride, n, c.V, s.v, Vp);
    loadRows(task.dO + head.valueOffset + t * head.valueStride, head.valueStride, n, c.V, s.o, Vp);
    loadDecays(head, tile, s);
    computeScores(c, s);
    computeScoreGrads(c, s);
    // dk: inside the tile, then through the state (transposed still holds v).
    Real* dk = s.keyRows;
    multiply<Real, Old::drop>(Kp, L, c.V, s.state, Vp, 1, s.transposed, L, s.product, L);
    if (c.decay == Decay::diagonal) {
      for (int x = 0; x < L * Kp; x++) dk[x] = 0, s.moved[x] = s.q[x];
      for (int j = L - 1; j >= 0; j--) {
        if (j + 1 < L) decayRows(j + 1, L - 1, s.decay + (j + 1) * Kp, Kp, s.moved);
        addWeighted(s.scoreGrads + j, L, j, L - 1, s.moved, Kp, dk + j * Kp);
      }
    } else {
      multiply<Real, Old::drop>(L, Kp, L, s.scoreGrads, 1, L, s.q, Kp, dk, Kp);
    }
    addThroughState(c, s, s.suffix, Real(1), dk);
    storeRows(dk, Kp, n, c.K, task.dk + head.keyOffset + t * head.keyStride, head.keyStride);
    if (task.dg != nullptr) storeDecayGrads(head, tile, s, task.dq, dk, s.running, task.dg);
    // dv: the same two parts.
    Real* dv = s.v;
    multiply<Real, Old::drop>(L, Vp, L, s.scores, 1, L, s.o, Vp, dv, Vp);
    scaleRows(c, s.k, s.suffix, Real(1), Kp, s.moved);
    multiply<Real, Old::add>(L, Vp, c.K, s.moved, Kp, 1, s.state, Vp, dv, Vp);
    storeRows(dv, Vp, n, c.V, task.dv + head.valueOffset + t * head.valueStride, head.valueStride);
    adjointStep(c, s);
    if (tile.reset) {
      // What came before this document had no part in it.
      for (int x = 0; x < Kp * Vp; x++) s.state[x] = 0;
      for (int x = 0; x < Kp; x++) s.running[x] = 0;
    }
    end = t;
  }
  if (task.dh0 != nullptr) storeState(s.state, Vp, c.K, c.V, task.dh0 + index * stateSize);
}

// Each head of a call, in the two types.
#define LONGSCAN_HEADS(name, Task, perHead)                                        \
  void name(const Task<float>& task, int64_t begin, int64_t end, void* scratch) {  \
    Scratch<float> s(scratch, task.call.K, task.call.V);                           \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }                                                                                \
  void name(const Task<double>& task, int64_t begin, int64_t end, void* scratch) { \
    Scratch<double> s(scratch, task.call.K, task.call.V);                          \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }
LONGSCAN_HEADS(gatedLinearAdjoint, GatedLinearAdjoint, adjointHead)
LONGSCAN_HEADS(gatedLinearQueryGrad, GatedLinearQueryGrad, queryGradHead)
LONGSCAN_HEADS(gatedLinearKeyValueGrad, GatedLinearKeyValueGrad, keyValueGradHead)
#undef LONGSCAN_HEADS

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
