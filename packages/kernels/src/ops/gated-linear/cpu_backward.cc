#include "cpu_pairs.h"

// Backward: the adjoint summary of a slice, and the sweep backward in time with the gradients of what is
// written.

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
  loadState<Real>(nullptr, c.K, c.V, s.state, s.Kp, s.Vp);
  for (int64_t end = head.tiles().firstReset(); end > 0;) {
    const Tile tile = head.tiles().before(end);
    head.keys.load(task.q, tile, s.q);
    head.values.load(task.dO, tile, s.o);
    loadDecays(head, tile, s);
    adjointStep(c, s);
    end = tile.token;
  }
  storeState(s.state, s.Vp, c.K, c.V, task.adjoint + index * static_cast<int64_t>(c.K) * c.V);
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

/// dg of a tile from dq and dk, both without the bonus, and the running sum from the chunk's end. `fromZero`:
/// the state before the slice is zero.
template <typename Real>
static inline void storeDecayGrads(const Head<Real>& head, const Tile& tile, const Scratch<Real>& s,
                                   const Real* dq, const Real* dk, bool fromZero, Real* sum, Real* dg) {
  const GatedLinear<Real>& c = head.call;
  // A read that leaves its own token out does not meet that token's decay either.
  const bool readsBefore = readLag(c) == 1;
  for (int i = tile.numTokens - 1; i >= 0; i--) {
    const int64_t row = head.channels.offset + (tile.token + i) * head.channels.stride;
    // Where there is no state before a token its decay has exactly no effect.
    const bool none = i == 0 && (tile.reset || (fromZero && tile.token == 0));
    Real total = 0;
    for (int x = 0; x < c.K; x++) {
      const Real read = s.q[i * s.Kp + x] * dq[row + x];
      const Real written = s.k[i * s.Kp + x] * dk[i * s.Kp + x];
      sum[x] += readsBefore ? -written : read - written;
      if (c.decay == Decay::diagonal) dg[row + x] = none ? 0 : sum[x];
      total += sum[x];
      if (readsBefore) sum[x] += read;
    }
    if (c.decay == Decay::scalar) dg[(head.b * c.T + tile.token + i) * c.H + head.h] = none ? 0 : total;
  }
}

/// keyRows [L, Kp] = dk without the bonus, from the adjoint of the state after the tile; `scoreGrads` are
/// there and v is in `transposed`.
template <typename Real>
static inline void computeKeyGrads(const GatedLinear<Real>& c, Scratch<Real>& s) {
  const int lag = readLag(c), Kp = s.Kp;
  Real* dk = s.keyRows;
  multiply<Real, Old::drop>(Kp, L, c.V, s.state, s.Vp, 1, s.transposed, L, s.product, L);
  if (c.decay == Decay::diagonal) {
    for (int x = 0; x < L * Kp; x++) dk[x] = 0, s.moved[x] = s.q[x];
    for (int j = L - 1; j >= 0; j--) {
      if (j + 1 < L) decayRows(j + 1 + lag, L - 1, s.decay + (j + 1) * Kp, Kp, s.moved);
      addWeighted(s.scoreGrads + j, L, j, L - 1, s.moved, Kp, dk + j * Kp);
    }
  } else {
    multiply<Real, Old::drop>(L, Kp, L, s.scoreGrads, 1, L, s.q, Kp, dk, Kp);
  }
  addThroughState(c, s, s.suffix, Real(1), dk);
}

/// v [L, Vp] = dv, overwriting the values, from the scores and the adjoint of the state after the tile.
template <typename Real>
static inline void computeValueGrads(const GatedLinear<Real>& c, Scratch<Real>& s) {
  multiply<Real, Old::drop>(L, s.Vp, L, s.scores, 1, L, s.o, s.Vp, s.v, s.Vp);
  scaleRows(c, s.k, s.suffix, Real(1), s.Kp, s.moved);
  multiply<Real, Old::add>(L, s.Vp, c.K, s.moved, s.Kp, 1, s.state, s.Vp, s.v, s.Vp);
}

/// to [L, Kp] += own ∘ rows ∘ u.
template <typename Real>
static inline void addThroughBonus(const Scratch<Real>& s, const Real* rows, Real* to) {
  using V = Vec<Real>;
  for (int i = 0; i < L; i++) {
    const V own = V::set(s.own[i]);
    for (int x = 0; x < s.Kp; x += V::width) {
      const int at = i * s.Kp + x;
      (V::load(to + at) + own * V::load(s.bonus + x) * V::load(rows + at)).store(to + at);
    }
  }
}

/// What goes through the bonus: to dq, dk (in keyRows) and the sum of u's gradient.
template <typename Real>
static inline void addBonusGrads(const Head<Real>& head, const Tile& tile, Scratch<Real>& s, Real* dq) {
  head.channels.load(dq, tile, s.queryRows);
  addThroughBonus(s, s.k, s.queryRows);
  head.channels.store(s.queryRows, tile, dq);
  addThroughBonus(s, s.q, s.keyRows);
  for (int x = 0; x < head.call.K; x++) {
    Real sum = 0;
    for (int i = 0; i < L; i++) sum += s.own[i] * s.q[i * s.Kp + x] * s.k[i * s.Kp + x];
    s.bonusGrad[x] += sum;
  }
}

template <typename Real>
static void writeGradHead(const GatedLinearWriteGrad<Real>& task, int64_t index, Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  const Head<Real> head(c, index);
  const int64_t stateSize = static_cast<int64_t>(c.K) * c.V;
  const int64_t numChunks = (c.T + decayChunk - 1) / decayChunk;
  loadState(task.dht == nullptr ? nullptr : task.dht + index * stateSize, c.K, c.V, s.state, s.Kp, s.Vp);
  head.loadBonus(s.bonus);
  for (int x = 0; x < c.K; x++) s.bonusGrad[x] = 0;
  for (int64_t end = c.T; end > 0;) {
    const Tile tile = head.tiles().before(end);
    if (task.dg != nullptr && (end % decayChunk == 0 || end == c.T)) {
      const int64_t chunk = index * numChunks + (end - 1) / decayChunk;
      decayGradAtEnd(c, task.checkpoints + chunk * stateSize, s, s.running);
    }
    head.keys.load(task.q, tile, s.q);
    head.keys.load(c.k, tile, s.k);
    head.values.load(c.v, tile, s.v);
    head.values.load(task.dO, tile, s.o);
    loadDecays(head, tile, s);
    computeScores(c, s);
    computeScoreGrads(c, s);
    computeKeyGrads(c, s);
    if (task.dg != nullptr)
      storeDecayGrads(head, tile, s, task.dq, s.keyRows, task.fromZero, s.running, task.dg);
    if (task.dbonus != nullptr) addBonusGrads(head, tile, s, task.dq);
    head.channels.store(s.keyRows, tile, task.dk);
    computeValueGrads(c, s);
    head.values.store(s.v, tile, task.dv);
    adjointStep(c, s);
    if (tile.reset) {
      // What came before this document had no part in it.
      for (int x = 0; x < s.Kp * s.Vp; x++) s.state[x] = 0;
      for (int x = 0; x < s.Kp; x++) s.running[x] = 0;
    }
    end = tile.token;
  }
  if (task.dbonus != nullptr) {
    for (int x = 0; x < c.K; x++) task.dbonus[index * c.K + x] = static_cast<Real>(s.bonusGrad[x]);
  }
  if (task.dh0 != nullptr) storeState(s.state, s.Vp, c.K, c.V, task.dh0 + index * stateSize);
}

LONGSCAN_HEADS(gatedLinearAdjoint, GatedLinearAdjoint, adjointHead)
LONGSCAN_HEADS(gatedLinearWriteGrad, GatedLinearWriteGrad, writeGradHead)

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
