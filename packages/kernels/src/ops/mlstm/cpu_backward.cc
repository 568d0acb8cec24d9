#include "cpu_tile.h"

// Backward: the adjoint summary of a slice, and all gradients.

namespace longscan {
namespace LONGSCAN_LEVEL {

/// The maximum of the state that enters a tile.
template <typename Real>
static inline Real maxBefore(const MlstmHead<Real>& head, const Tile& tile, const Real* m, Real mIn) {
  if (tile.reset) return -INFINITY;
  return tile.token == 0 ? mIn : m[head.at(tile.token - 1)];
}

/// adjoint <- that of the state before the tile, at its own scale; `q`, `dy` and the weights are those of the
/// tile.
template <typename Real>
static inline void adjointBefore(const Tile& tile, Real scale, MlstmScratch<Real>& s) {
  weighRows(s.q, s.fromState, scale, s.Kp, s.weighted);
  for (int x = 0; x < s.Kp; x++) s.rowScale[x] = s.fromState[tile.numTokens - 1];
  multiply<Real, Old::scaleRows>(s.Kp, s.Wp, L, s.weighted, 1, s.Kp, s.dy, s.Wp, s.adjoint, s.Wp, s.rowScale);
}

template <typename Real>
static void adjointMlstmHead(const MlstmAdjoint<Real>& task, int64_t index, MlstmScratch<Real>& s) {
  const Mlstm<Real>& c = task.call;
  const MlstmHead<Real> head(c, index);
  const DocumentTiles tiles = head.tiles();
  const Real* h0 = task.h0 == nullptr ? nullptr : task.h0 + head.stateOffset();
  const Real mIn = maxOfState(h0, c.K);
  const int64_t firstReset = tiles.firstReset();
  double logFactor = firstReset < c.T ? -INFINITY : 0;
  for (int x = 0; x < s.Kp * s.Wp; x++) s.adjoint[x] = 0;
  for (int64_t end = firstReset; end > 0;) {
    const Tile tile = tiles.before(end);
    logFactor += weighTile(head, tile, maxBefore(head, tile, task.tokens.m, mIn), s);
    head.loadKeys(c.q, tile, s.q, s.Kp);
    loadSumGrads(head, task.tokens, task.dH, tile, s);
    adjointBefore(tile, c.scale, s);
    end = tile.token;
  }
  storeMlstmState(s.adjoint, s.Wp, c.K, c.V, Real(0), task.adjoint + head.stateOffset());
  task.factor[index] = static_cast<Real>(std::exp(logFactor));
}

/// tileStates <- the states that enter the tiles of a chunk (those that a document starts with have none).
template <typename Real>
static void recomputeStates(const MlstmBackward<Real>& task, const MlstmHead<Real>& head, int64_t chunk,
                            Real mIn, MlstmScratch<Real>& s) {
  const Mlstm<Real>& c = task.call;
  const DocumentTiles tiles = head.tiles();
  const int W = c.V + 1;
  const int64_t numChunks = (c.T + mlstmChunk - 1) / mlstmChunk;
  const Real* from = task.checkpoints + (head.index * numChunks + chunk) * c.K * W;
  // The padding anew too: a head before may have left anything there.
  for (int x = 0; x < s.Kp * s.Wp; x++) s.state[x] = 0;
  for (int x = 0; x < c.K; x++) {
    for (int y = 0; y < W; y++) s.state[x * s.Wp + y] = from[x * W + y];
  }
  const int64_t end = (chunk + 1) * mlstmChunk < c.T ? (chunk + 1) * mlstmChunk : c.T;
  for (int64_t t = chunk * mlstmChunk; t < end;) {
    const Tile tile = tiles.at(t);
    if (tile.reset) {
      for (int x = 0; x < s.Kp * s.Wp; x++) s.state[x] = 0;
    } else {
      Real* to = s.tileStates + t % mlstmChunk / L * s.Kp * s.Wp;
      for (int x = 0; x < s.Kp * s.Wp; x++) to[x] = s.state[x];
    }
    t += tile.numTokens;
    if (t == end) return;
    weighTile(head, tile, maxBefore(head, tile, task.tokens.m, mIn), s);
    head.loadKeys(c.k, tile, s.k, s.Kp);
    head.loadValues(tile, s.v, s.Wp);
    storeTokens(tile, s, s.state);
  }
}

/// rows [L, Kp] = transpose(product [Kp, L]) * factors.
template <typename Real>
static inline void transposeWeighted(const Real* product, const Real* factors, Real factor, int Kp,
                                     Real* rows) {
  Real f[L];
  for (int i = 0; i < L; i++) f[i] = factors[i] * factor;
  for (int x = 0; x < Kp; x++) {
    for (int i = 0; i < L; i++) rows[i * Kp + x] = product[x * L + i] * f[i];
  }
}

/// Gradients of a tile's log forget gates: f_t scales every weight that reaches over it, be it from a token j
/// < t or from the state that enters, to a token i >= t or to the state that leaves. `dq` and `dk` hold what
/// queries and keys get from those states.
template <typename Real>
static void forgetGrads(const MlstmHead<Real>& head, const Tile& tile, const Real* state,
                        MlstmScratch<Real>& s, Real* dForget) {
  const int n = tile.numTokens, Kp = s.Kp;
  const Real between =
      state == nullptr ? Real(0) : s.fromState[n - 1] * dotProduct(state, s.adjoint, Kp * s.Wp);
  Real fromStart[L], intoEnd[L];
  for (int i = 0; i < n; i++) {
    fromStart[i] = dotProduct(s.q + i * Kp, s.dq + i * Kp, Kp);
    intoEnd[i] = dotProduct(s.k + i * Kp, s.dk + i * Kp, Kp);
  }
  for (int t = 0; t < n; t++) {
    Real sum = between;
    for (int i = t; i < n; i++) {
      sum += fromStart[i];
      for (int j = 0; j < t; j++) sum += s.scores[i * L + j] * s.scoreGrads[i * L + j];
    }
    for (int j = 0; j < t; j++) sum += intoEnd[j];
    dForget[head.at(tile.token + t)] = sum;
  }
}

template <typename Real>
static void backwardTile(const MlstmBackward<Real>& task, const MlstmHead<Real>& head, const Tile& tile,
                         const Real* state, Real mIn, MlstmScratch<Real>& s) {
  const Mlstm<Real>& c = task.call;
  const int Kp = s.Kp, Wp = s.Wp, n = tile.numTokens;
  const Real* toEnd = s.weights + (n - 1) * L;
  weighTile(head, tile, maxBefore(head, tile, task.tokens.m, mIn), s);
  head.loadKeys(c.q, tile, s.q, Kp);
  head.loadKeys(c.k, tile, s.k, Kp);
  head.loadValues(tile, s.v, Wp);
  loadSumGrads(head, task.tokens, task.dH, tile, s);
  scoreTokens(c.scale, s);
  transposeRows(s.v, Wp, s.transposed);
  multiply<Real, Old::drop>(L, L, Wp, s.dy, Wp, 1, s.transposed, L, s.scoreGrads, L);
  multiply<Real, Old::drop>(Kp, L, Wp, s.adjoint, Wp, 1, s.transposed, L, s.moved, L);
  transposeRows(s.dy, Wp, s.transposed);
  if (state == nullptr) {
    for (int x = 0; x < L * Kp; x++) s.dq[x] = 0;
  } else {
    multiply<Real, Old::drop>(Kp, L, Wp, state, Wp, 1, s.transposed, L, s.product, L);
    transposeWeighted(s.product, s.fromState, c.scale, Kp, s.dq);
  }
  transposeWeighted(s.moved, toEnd, Real(1), Kp, s.dk);
  forgetGrads(head, tile, state, s, task.dForget);

  // dv: from the tile's queries, then from the state that leaves it.
  multiply<Real, Old::drop>(L, Wp, L, s.scores, 1, L, s.dy, Wp, s.y, Wp);
  weighRows(s.k, toEnd, Real(1), Kp, s.weighted);
  multiply<Real, Old::add>(L, Wp, c.K, s.weighted, Kp, 1, s.adjoint, Wp, s.y, Wp);
  storeRows(s.y, Wp, n, c.V, task.dv + head.at(tile.token) * c.V, head.valueStride());

  for (int i = 0; i < L * L; i++) s.scoreGrads[i] *= s.weights[i] * c.scale;
  multiply<Real, Old::add>(L, Kp, L, s.scoreGrads, L, 1, s.k, Kp, s.dq, Kp);
  head.storeKeys(s.dq, Kp, tile, task.dq);
  multiply<Real, Old::add>(L, Kp, L, s.scoreGrads, 1, L, s.q, Kp, s.dk, Kp);
  head.storeKeys(s.dk, Kp, tile, task.dk);
  // A token's input gate scales its key, and nothing else.
  for (int i = 0; i < n; i++) {
    task.dInput[head.at(tile.token + i)] = dotProduct(s.k + i * Kp, s.dk + i * Kp, Kp);
  }
  adjointBefore(tile, c.scale, s);
}

template <typename Real>
static void backwardMlstmHead(const MlstmBackward<Real>& task, int64_t index, MlstmScratch<Real>& s) {
  const Mlstm<Real>& c = task.call;
  const MlstmHead<Real> head(c, index);
  const DocumentTiles tiles = head.tiles();
  const Real* h0 = task.h0 == nullptr ? nullptr : task.h0 + head.stateOffset();
  const Real mIn = maxOfState(h0, c.K);
  loadMlstmState(task.dht == nullptr ? nullptr : task.dht + head.stateOffset(), c.K, c.V, s.adjoint, s.Kp,
                 s.Wp);
  for (int64_t end = c.T; end > 0;) {
    if (end == c.T || end % mlstmChunk == 0) recomputeStates(task, head, (end - 1) / mlstmChunk, mIn, s);
    const Tile tile = tiles.before(end);
    const Real* entering = s.tileStates + tile.token % mlstmChunk / L * s.Kp * s.Wp;
    backwardTile(task, head, tile, tile.reset ? nullptr : entering, mIn, s);
    if (tile.reset) {
      // What came before this document had no part in it.
      for (int x = 0; x < s.Kp * s.Wp; x++) s.adjoint[x] = 0;
    }
    end = tile.token;
  }
  if (task.dh0 != nullptr) {
    storeMlstmState(s.adjoint, s.Wp, c.K, c.V, Real(0), task.dh0 + head.stateOffset());
  }
}

// Each head of a call, in the two types.
#define LONGSCAN_MLSTM_HEADS(name, Task, perHead)                                  \
  void name(const Task<float>& task, int64_t begin, int64_t end, void* scratch) {  \
    MlstmScratch<float> s(scratch, task.call.K, task.call.V);                      \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }                                                                                \
  void name(const Task<double>& task, int64_t begin, int64_t end, void* scratch) { \
    MlstmScratch<double> s(scratch, task.call.K, task.call.V);                     \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }
LONGSCAN_MLSTM_HEADS(mlstmAdjoint, MlstmAdjoint, adjointMlstmHead)
LONGSCAN_MLSTM_HEADS(mlstmBackward, MlstmBackward, backwardMlstmHead)
#undef LONGSCAN_MLSTM_HEADS

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
