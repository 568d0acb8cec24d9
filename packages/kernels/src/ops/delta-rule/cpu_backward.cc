#include "cpu_products.h"

// Backward: the adjoint of the state, backward in time, and the gradients of each tile from it and from the
// state before the tile, which is computed again from the last checkpoint.

namespace longscan {
namespace LONGSCAN_LEVEL {

/// out [L, Vp] = the gradient of write w's values, apart from what later rows of the tile erase.
template <typename Real>
static inline void valueGrad(const DeltaRule<Real>& c, int w, DeltaScratch<Real>& s, Real* out) {
  multiply<Real, Old::drop>(L, s.Vp, L, s.readScores[w], 1, L, s.valueQuery, s.Vp, out, s.Vp);
  decayedRows(s.writeKey[w], s.suffix, Real(1), s.Kp, s.moved);
  multiply<Real, Old::add>(L, s.Vp, c.K, s.moved, s.Kp, 1, s.adjoint, s.Vp, out, s.Vp);
}

/// Gradients of what the erase keys read (`dErased`) and of v (`dValue`), from the adjoint of the tile's
/// outgoing state: the forward substitution, transposed.
template <typename Real>
static inline void erasedGrads(const DeltaRule<Real>& c, DeltaScratch<Real>& s) {
  if (c.erase == DeltaErase::dplr) {
    valueGrad(c, 1, s, s.dErased);
    solveRows(s.eraseScores[1], Real(1), true, s.Vp, s.dErased);
    valueGrad(c, 0, s, s.dValue);
    multiply<Real, Old::add>(L, s.Vp, L, s.eraseScores[0], 1, L, s.dErased, s.Vp, s.dValue, s.Vp);
    return;
  }
  valueGrad(c, 0, s, s.dValue);
  solveRows(s.eraseScores[0], Real(-1), true, s.Vp, s.dValue);
  for (int x = 0; x < L * s.Vp; x++) s.dErased[x] = -s.dValue[x];
}

/// The adjoint of the state before the tile, from that of the state after it.
template <typename Real>
static inline void advanceAdjoint(const DeltaRule<Real>& c, DeltaScratch<Real>& s) {
  decayedRows(s.eraseKey, s.prefix, Real(1), s.Kp, s.moved);
  multiply<Real, Old::scaleRows>(s.Kp, s.Vp, L, s.moved, 1, s.Kp, s.dErased, s.Vp, s.adjoint, s.Vp, s.total);
  decayedRows(s.keyQuery, s.prefix + s.Kp, c.scale, s.Kp, s.moved);
  multiply<Real, Old::add>(s.Kp, s.Vp, L, s.moved, 1, s.Kp, s.valueQuery, s.Vp, s.adjoint, s.Vp);
}

/// scale * q^T S u is symmetric in the two: read by key, u is the output's gradient; read by value, it is q.
template <typename Real>
static inline void loadReadPair(const DeltaHead<Real>& head, const Tile& tile, const Real* dO,
                                DeltaScratch<Real>& s) {
  const DeltaRule<Real>& c = head.call;
  const bool byKey = c.read == DeltaRead::key;
  head.loadReads(byKey ? c.q : dO, tile, c.K, s.keyQuery, s.Kp);
  head.loadReads(byKey ? dO : c.q, tile, c.V, s.valueQuery, s.Vp);
}

template <typename Real>
static void deltaAdjointHead(const DeltaRuleAdjoint<Real>& task, int64_t index, DeltaScratch<Real>& s) {
  const DeltaHead<Real> head(task.call, index);
  fillZero(s.adjoint, s.Kp * s.Vp);
  for (int64_t end = head.tiles.firstReset(); end > 0;) {
    const Tile tile = head.tiles.before(end);
    loadDeltaTile(head, tile, s);
    loadReadPair(head, tile, task.dO, s);
    deltaScores(task.call, true, s);
    erasedGrads(task.call, s);
    advanceAdjoint(task.call, s);
    end = tile.token;
  }
  storeDeltaState(head, s.adjoint, s.Vp, task.adjoint);
}

/// grads_j += sum over i of weights[i][j] (decay from j to i) rows_i, rows and grads [L, Kp]. `inclusive`:
/// with i = j and row i's own decay, as queries see a key; else as erase keys do.
template <typename Real>
static inline void addReadingRows(const DeltaRule<Real>& c, const Real* weights, const Real* rows,
                                  bool inclusive, DeltaScratch<Real>& s, Real* grads) {
  const int Kp = s.Kp;
  if (c.gate != DeltaGate::diagonal) {
    multiply<Real, Old::add>(L, Kp, L, weights, 1, L, rows, Kp, grads, Kp);
    return;
  }
  for (int x = 0; x < L * Kp; x++) s.moved[x] = rows[x];
  for (int j = L - 1; j >= 0; j--) {
    // From key j + 1 to key j: the decay of row j + 1 comes in, for an erase key of row j + 1 it does not.
    if (j + 1 < L) decayEach(s.decay + (j + 1) * Kp, inclusive ? j + 1 : j + 2, L, Kp, s.moved);
    addRows(weights + j, L, inclusive ? j : j + 1, L, s.moved, Kp, grads + j * Kp);
  }
}

/// Gradients with respect to the tile's reads, erase keys and written keys, into scratch.
template <typename Real>
static inline void keyGrads(const DeltaRule<Real>& c, const Real* state, DeltaScratch<Real>& s) {
  throughState(c, state, s.valueQuery, s.prefix + s.Kp, c.scale, s, s.dReadKey);
  throughState(c, state, s.dErased, s.prefix, Real(1), s, s.dEraseKey);
  for (int w = 0; w < s.numWrites; w++) {
    valueWeights(s.valueQuery, w, c.scale, true, s, s.readWeights[w]);
    valueWeights(s.dErased, w, Real(1), false, s, s.eraseWeights[w]);
    decayWeights(c, s, true, s.readWeights[w]);
    decayWeights(c, s, false, s.eraseWeights[w]);
    addWrittenKeys(c, w, s, s.dReadKey, s.dEraseKey);
    throughState(c, s.adjoint, s.value[w], s.suffix, Real(1), s, s.dWriteKey[w]);
    addReadingRows(c, s.readWeights[w], s.keyQuery, true, s, s.dWriteKey[w]);
    addReadingRows(c, s.eraseWeights[w], s.eraseKey, false, s, s.dWriteKey[w]);
  }
}

/// sum over V of state * adjoint, both before the tile: where its decay gradients start.
template <typename Real>
static inline void startDecayGrads(const Real* state, DeltaScratch<Real>& s) {
  using V = Vec<Real>;
  for (int x = 0; x < s.Kp; x++) {
    V sum = V::zero();
    for (int y = 0; y < s.Vp; y += V::width) {
      sum = sum + V::load(state + x * s.Vp + y) * V::load(s.adjoint + x * s.Vp + y);
    }
    s.decayGrad[x] = sum.sum();
  }
}

/// dlog a_r = rowsum_V(a_r S_{r-1} ∘ D_r), from row to row by what writes add to S ∘ D and reads take away.
template <typename Real>
static inline void storeDecayGrads(const DeltaHead<Real>& head, const Tile& tile, Real* dg,
                                   DeltaScratch<Real>& s) {
  const DeltaRule<Real>& c = head.call;
  const int Kp = s.Kp;
  for (int i = 0; i < tile.numTokens; i++) {
    Real* to = nullptr;
    if (head.decays(tile.token + i))
      to = dg + head.atToken(tile.token + i, c.gate == DeltaGate::diagonal ? c.K : 1);
    Real total = 0;
    for (int x = 0; x < c.K; x++) {
      const int at = i * Kp + x;
      Real sum = s.decayGrad[x];
      const Real erased = s.eraseKey[at] * s.dEraseKey[at];
      sum -= erased;
      // The erase key a ∘ k holds the decay once more.
      const Real own = c.erase == DeltaErase::key ? sum + erased : sum;
      total += own;
      if (to != nullptr && c.gate == DeltaGate::diagonal) to[x] = own;
      for (int w = 0; w < s.numWrites; w++) sum += s.writeKey[w][at] * s.dWriteKey[w][at];
      s.decayGrad[x] = sum - s.keyQuery[at] * s.dReadKey[at];
    }
    if (to != nullptr && c.gate == DeltaGate::scalar) *to = total;
  }
}

/// What the tile's gradients are as those of the inputs.
template <typename Real>
static inline void storeGrads(const DeltaRuleBackward<Real>& task, const DeltaHead<Real>& head,
                              const Tile& tile, DeltaScratch<Real>& s) {
  const DeltaRule<Real>& c = task.call;
  const int Kp = s.Kp;
  if (task.dg != nullptr) storeDecayGrads(head, tile, task.dg, s);
  if (c.read == DeltaRead::key) head.storeReads(s.dReadKey, Kp, tile, c.K, task.dq);
  head.storeRowsOf(s.dValue, s.Vp, tile, c.V, task.dv);
  if (task.db != nullptr) head.storeRowsOf(s.dEraseKey, Kp, tile, c.K, task.db);
  if (task.de != nullptr) head.storeRowsOf(s.dWriteKey[1], Kp, tile, c.K, task.de);
  Real* dk = s.dWriteKey[0];
  for (int i = 0; i < tile.numTokens; i++) {
    const int64_t r = head.atRow(tile.token + i, 1);
    const Real beta = c.beta == nullptr ? 1 : c.beta[r];
    Real dbeta = 0;
    for (int x = i * Kp; x < (i + 1) * Kp; x++) {
      dbeta += s.key[x] * dk[x];
      dk[x] *= beta;
      if (c.erase == DeltaErase::key) dk[x] += s.decay[x] * s.dEraseKey[x];
    }
    if (task.dbeta != nullptr) task.dbeta[r] = dbeta;
  }
  head.storeRowsOf(dk, Kp, tile, c.K, task.dk);
}

/// The states before the chunk's tiles, into `saved`; a tile that begins inside 16 rows begins a document.
template <typename Real>
static inline void chunkStates(const DeltaRuleBackward<Real>& task, const DeltaHead<Real>& head,
                               int64_t chunk, int64_t end, DeltaScratch<Real>& s) {
  const DeltaRule<Real>& c = task.call;
  const int stateSize = s.Kp * s.Vp;
  const int64_t at = (head.index * head.numChunks() + chunk) * c.K * c.V;
  fillZero(s.state, stateSize);
  for (int x = 0; x < c.K; x++) {
    for (int y = 0; y < c.V; y++) s.state[x * s.Vp + y] = task.checkpoints[at + x * c.V + y];
  }
  for (int64_t r = chunk * deltaChunk; r < end;) {
    const Tile tile = head.tiles.at(r);
    if (tile.reset) fillZero(s.state, stateSize);
    if (r % L == 0) {
      Real* to = s.saved + r % deltaChunk / L * stateSize;
      for (int x = 0; x < stateSize; x++) to[x] = s.state[x];
    }
    r += tile.numTokens;
    if (r == end) return;
    loadDeltaTile(head, tile, s);
    deltaScores(c, false, s);
    deltaValues(c, s.state, s);
    advanceState(s, s.state);
  }
}

template <typename Real>
static void deltaBackwardHead(const DeltaRuleBackward<Real>& task, int64_t index, DeltaScratch<Real>& s) {
  const DeltaRule<Real>& c = task.call;
  const DeltaHead<Real> head(c, index);
  const int stateSize = s.Kp * s.Vp;
  fillZero(s.adjoint, stateSize);
  loadDeltaState(head, task.dht, s.adjoint, s.Vp);
  for (int64_t end = head.numRows(); end > 0;) {
    const int64_t chunk = (end - 1) / deltaChunk;
    chunkStates(task, head, chunk, end, s);
    while (end > chunk * deltaChunk) {
      const Tile tile = head.tiles.before(end);
      const Real* before = s.saved + tile.token % deltaChunk / L * stateSize;
      if (tile.token % L != 0) {
        fillZero(s.state, stateSize);
        before = s.state;
      }
      loadDeltaTile(head, tile, s);
      loadReadPair(head, tile, task.dO, s);
      deltaScores(c, true, s);
      deltaValues(c, before, s);
      if (c.read == DeltaRead::value) {
        readByKey(c, before, s, s.dValue);
        head.storeReads(s.dValue, s.Vp, tile, c.V, task.dq);
      }
      erasedGrads(c, s);
      keyGrads(c, before, s);
      advanceAdjoint(c, s);
      startDecayGrads(before, s);
      storeGrads(task, head, tile, s);
      // What came before this document had no part in it.
      if (tile.reset) fillZero(s.adjoint, stateSize);
      end = tile.token;
    }
  }
  if (task.dh0 != nullptr) storeDeltaState(head, s.adjoint, s.Vp, task.dh0);
}

// Each head of a call, in the two types.
#define LONGSCAN_HEADS(name, Task, perHead)                                        \
  void name(const Task<float>& task, int64_t begin, int64_t end, void* scratch) {  \
    DeltaScratch<float> s(scratch, task.call, false);                              \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }                                                                                \
  void name(const Task<double>& task, int64_t begin, int64_t end, void* scratch) { \
    DeltaScratch<double> s(scratch, task.call, false);                             \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }
LONGSCAN_HEADS(deltaRuleAdjoint, DeltaRuleAdjoint, deltaAdjointHead)
LONGSCAN_HEADS(deltaRuleBackward, DeltaRuleBackward, deltaBackwardHead)
#undef LONGSCAN_HEADS

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
