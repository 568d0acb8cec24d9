#pragma once

// Tiles of the matrix LSTM. n is carried as one more column of C, whose value is 1 for every token. Inside a
// tile every weight is exp of a log that is at most 0: that of a token, or of the incoming state, less the
// running maximum of the query's token. Included by this folder's cpu*.cc only.

#include "../../core/tile.h"
#include "mlstm.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Pointers into one thread's scratch; [rows, padded columns] each. W = V + 1.
template <typename Real>
struct MlstmScratch {
  static constexpr int tilesPerChunk = mlstmChunk / L;
  int Kp, Wp;
  Real *state, *adjoint;             // [Kp, Wp]
  Real* tileStates;                  // [tilesPerChunk, Kp, Wp], the states that enter the tiles of a chunk
  Real *q, *k, *weighted, *dq, *dk;  // [L, Kp]
  Real *v, *y, *dy;                  // [L, Wp]
  Real* transposed;                  // [max(Kp, Wp), L]
  Real *product, *moved;             // [Kp, L]
  Real* weights;                     // [L, L], exp(log weight of token j at token i - m_i), 0 for j > i
  Real *scores, *scoreGrads;         // [L, L]
  Real* fromState;                   // [L], the same for the state that enters the tile
  Real* m;                           // [L], running maximum
  Real* rowScale;                    // [Kp]

  MlstmScratch(void* memory, int K, int V) : Kp(padded(K)), Wp(padded(V + 1)) {
    Real* next = static_cast<Real*>(memory);
    auto take = [&](int count) {
      Real* p = next;
      next += count;
      for (int i = 0; i < count; i++) p[i] = 0;
      return p;
    };
    state = take(Kp * Wp), adjoint = take(Kp * Wp), tileStates = take(tilesPerChunk * Kp * Wp);
    q = take(L * Kp), k = take(L * Kp), weighted = take(L * Kp);
    dq = take(L * Kp), dk = take(L * Kp);
    v = take(L * Wp), y = take(L * Wp), dy = take(L * Wp);
    transposed = take((Kp > Wp ? Kp : Wp) * L), product = take(Kp * L), moved = take(Kp * L);
    weights = take(L * L), scores = take(L * L), scoreGrads = take(L * L);
    fromState = take(L), m = take(L), rowScale = take(Kp);
  }
};

/// One head of one batch row of a call.
template <typename Real>
struct MlstmHead {
  const Mlstm<Real>& call;
  int64_t index, b, h;

  MlstmHead(const Mlstm<Real>& c, int64_t i) : call(c), index(i), b(i / c.H), h(i % c.H) {}

  DocumentTiles tiles() const {
    return {call.resets == nullptr ? nullptr : call.resets + b * call.T, call.T};
  }
  int64_t stateOffset() const { return index * (call.V + 1) * (call.K + 1); }
  /// Of token t in [B, T, H].
  int64_t at(int64_t t) const { return (b * call.T + t) * call.H + h; }
  int64_t keyStride() const { return call.H * call.K; }
  int64_t valueStride() const { return call.H * call.V; }

  void loadKeys(const Real* from, const Tile& tile, Real* to, int Kp) const {
    loadRows(from + at(tile.token) * call.K, keyStride(), tile.numTokens, call.K, to, Kp);
  }
  void storeKeys(const Real* from, int Kp, const Tile& tile, Real* to) const {
    storeRows(from, Kp, tile.numTokens, call.K, to + at(tile.token) * call.K, keyStride());
  }
  /// Values and the column of ones.
  void loadValues(const Tile& tile, Real* to, int Wp) const {
    loadRows(call.v + at(tile.token) * call.V, valueStride(), tile.numTokens, call.V, to, Wp);
    for (int i = 0; i < tile.numTokens; i++) to[i * Wp + call.V] = 1;
  }
};

/// The m of a stored state, the same in all of its rows; -infinity for an empty one and for null.
template <typename Real>
static inline Real maxOfState(const Real* from, int K) {
  return from == nullptr ? -INFINITY : from[K];
}

/// The content of a stored state, or of an adjoint of one, into scratch [Kp, Wp]; null gives zeros.
template <typename Real>
static inline void loadMlstmState(const Real* from, int K, int V, Real* to, int Kp, int Wp) {
  for (int i = 0; i < Kp * Wp; i++) to[i] = 0;
  if (from == nullptr) return;
  for (int r = 0; r <= V; r++) {
    for (int x = 0; x < K; x++) to[x * Wp + r] = from[r * (K + 1) + x];
  }
}

/// `m` is 0 for an adjoint.
template <typename Real>
static inline void storeMlstmState(const Real* from, int Wp, int K, int V, Real m, Real* to) {
  for (int r = 0; r <= V; r++) {
    for (int x = 0; x < K; x++) to[r * (K + 1) + x] = from[x * Wp + r];
    to[r * (K + 1) + K] = m;
  }
}

/// Fills `weights`, `fromState` and `m` for a tile that a state with this maximum enters. Returns the log
/// weight of that state at the tile's end. Log weights grow token by token from each token's own gate: a
/// difference of two sums would lose bits where the decay is strong.
template <typename Real>
static inline Real weighTile(const MlstmHead<Real>& head, const Tile& tile, Real mIn, MlstmScratch<Real>& s) {
  using Vector = Vec<Real>;
  Real logs[L];
  Real carried = mIn, atEnd = -INFINITY;
  for (int j = 0; j < L; j++) logs[j] = -INFINITY;
  for (int i = 0; i < L; i++) {
    Real* row = s.weights + i * L;
    if (i >= tile.numTokens) {
      for (int j = 0; j < L; j++) row[j] = 0;
      s.fromState[i] = 0;
      continue;
    }
    const int64_t at = head.at(tile.token + i);
    const Real forget = head.call.logForget[at];
    carried += forget;
    Real m = carried;
    for (int j = 0; j < i; j++) logs[j] += forget;
    logs[i] = head.call.logInput[at];
    for (int j = 0; j <= i; j++) m = logs[j] > m ? logs[j] : m;
    s.m[i] = m;
    // Where nothing has been stored yet every log is -infinity, and 0 keeps it so.
    const Vector base = Vector::set(m == -INFINITY ? Real(0) : m);
    for (int j = 0; j < L; j += Vector::width) vexp(Vector::load(logs + j) - base).store(row + j);
    atEnd = carried == -INFINITY ? carried : carried - m;
    s.fromState[i] = std::exp(atEnd);
  }
  return atEnd;
}

/// to[i] = rows[i] * factors[i] * factor.
template <typename Real>
static inline void weighRows(const Real* rows, const Real* factors, Real factor, int Kp, Real* to) {
  using Vector = Vec<Real>;
  for (int i = 0; i < L; i++) {
    const Vector f = Vector::set(factors[i] * factor);
    for (int x = 0; x < Kp; x += Vector::width) (Vector::load(rows + i * Kp + x) * f).store(to + i * Kp + x);
  }
}

/// state <- what the tile leaves of it; `k`, `v` and the weights are those of the tile.
template <typename Real>
static inline void storeTokens(const Tile& tile, MlstmScratch<Real>& s, Real* state) {
  const int last = tile.numTokens - 1;
  weighRows(s.k, s.weights + last * L, Real(1), s.Kp, s.weighted);
  for (int x = 0; x < s.Kp; x++) s.rowScale[x] = s.fromState[last];
  multiply<Real, Old::scaleRows>(s.Kp, s.Wp, L, s.weighted, 1, s.Kp, s.v, s.Wp, state, s.Wp, s.rowScale);
}

/// scores[i][j] = scale * q_i . k_j * weights[i][j].
template <typename Real>
static inline void scoreTokens(Real scale, MlstmScratch<Real>& s) {
  transposeRows(s.k, s.Kp, s.transposed);
  multiply<Real, Old::drop>(L, L, s.Kp, s.q, s.Kp, 1, s.transposed, L, s.scores, L);
  for (int i = 0; i < L * L; i++) s.scores[i] *= scale * s.weights[i];
}

/// dy = the gradient of C q and n . q: h = C q / max(|n . q|, exp(-m)), in which m has no part.
template <typename Real>
static inline void loadSumGrads(const MlstmHead<Real>& head, const MlstmTokens<Real>& tokens, const Real* dH,
                                const Tile& tile, MlstmScratch<Real>& s) {
  const int V = head.call.V;
  for (int i = 0; i < L * s.Wp; i++) s.dy[i] = 0;
  for (int i = 0; i < tile.numTokens; i++) {
    const int64_t at = head.at(tile.token + i);
    const Real* gradient = dH + at * V;
    const Real* h = tokens.h + at * V;
    const Real sum = tokens.normalizer[at], size = std::fabs(sum), least = std::exp(-tokens.m[at]);
    const Real inverse = 1 / (size > least ? size : least);
    Real dot = 0;
    for (int y = 0; y < V; y++) {
      s.dy[i * s.Wp + y] = gradient[y] * inverse;
      dot += gradient[y] * h[y];
    }
    if (size > least) s.dy[i * s.Wp + V] = (sum < 0 ? dot : -dot) * inverse;
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
