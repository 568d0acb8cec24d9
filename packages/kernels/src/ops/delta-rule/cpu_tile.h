#pragma once

// A slice is worked through in tiles of at most 16 rows of one document. Decays inside a tile are products of
// factors <= 1 in the order of time: no quotient of cumulative decays is formed, so no gate is too strong.
// Included by this folder's cpu*.cc only.

#include "../../core/tile.h"
#include "delta_rule.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Pointers into one thread's scratch. A write w adds key_w value_w^T to the state: one write, of what is new
/// about v, or with dplr two, of v and of what was read.
template <typename Real>
struct DeltaScratch {
  int Kp, Vp;  // K and V, padded
  int W;       // columns of the state: Vp, and Kp more while M is wanted
  int numWrites;
  Real* state;                                // [Kp, W]
  Real *key, *eraseKey, *keyQuery, *moved;    // [L, Kp]
  Real* writeKey[2];                          // [L, Kp]
  Real* value[2];                             // [L, W]
  Real* valueQuery;                           // [L, Vp]
  Real *readScores[2], *eraseScores[2];       // [L, L], what key queries and erase keys find of each write
  Real *decay, *suffix;                       // [L, Kp]: of each row, and of those after it
  Real* prefix;                               // [L + 1, Kp]: of the rows before
  Real* total;                                // [Kp]
  Real* ratio;                                // [L, L], decay from j to i >= j, if it is a scalar
  Real *transposed, *product;                 // [max(Kp, Vp), L]
  Real* readWeights[2];                       // [L, L], the gradients of the scores
  Real* eraseWeights[2];                      // [L, L]
  Real *dReadKey, *dEraseKey, *dWriteKey[2];  // [L, Kp]
  Real *dErased, *dValue;                     // [L, Vp]
  Real* adjoint;                              // [Kp, Vp]
  Real* saved;                                // [deltaChunk / L, Kp, Vp]
  Real* decayGrad;                            // [Kp]

  DeltaScratch(void* memory, const DeltaRule<Real>& call, bool withFactor)
      : Kp(padded(call.K)),
        Vp(padded(call.V)),
        W(withFactor ? Vp + Kp : Vp),
        numWrites(call.erase == DeltaErase::dplr ? 2 : 1) {
    Real* next = static_cast<Real*>(memory);
    auto take = [&](int count) {
      Real* p = next;
      next += count;
      for (int i = 0; i < count; i++) p[i] = 0;
      return p;
    };
    state = take(Kp * W), adjoint = take(Kp * Vp), saved = take(deltaChunk / L * Kp * Vp);
    key = take(L * Kp), eraseKey = take(L * Kp), keyQuery = take(L * Kp), moved = take(L * Kp);
    valueQuery = take(L * Vp), dErased = take(L * Vp), dValue = take(L * Vp);
    decay = take(L * Kp), suffix = take(L * Kp), prefix = take((L + 1) * Kp);
    dReadKey = take(L * Kp), dEraseKey = take(L * Kp);
    for (int w = 0; w < 2; w++) {
      writeKey[w] = take(L * Kp), dWriteKey[w] = take(L * Kp), value[w] = take(L * W);
      readScores[w] = take(L * L), eraseScores[w] = take(L * L);
      readWeights[w] = take(L * L), eraseWeights[w] = take(L * L);
    }
    transposed = take((Kp > Vp ? Kp : Vp) * L), product = take(Kp * L);
    total = take(Kp), decayGrad = take(Kp), ratio = take(L * L);
  }
};

/// One head of one batch row of a call.
template <typename Real>
struct DeltaHead {
  const DeltaRule<Real>& call;
  const int64_t index, b, h;
  const DocumentTiles tiles;  // of rows

  DeltaHead(const DeltaRule<Real>& c, int64_t index)
      : call(c),
        index(index),
        b(index / c.H),
        h(index % c.H),
        tiles{c.resets == nullptr ? nullptr : c.resets + b * c.T, c.T * c.numRowsPerToken,
              c.numRowsPerToken} {}

  int64_t numRows() const { return tiles.T; }
  int64_t numChunks() const { return (numRows() + deltaChunk - 1) / deltaChunk; }
  /// Index of this head's `size` numbers of row r in [B, n T, H, size].
  int64_t atRow(int64_t r, int size) const { return ((b * numRows() + r) * call.H + h) * size; }
  /// Index of this head's `size` numbers of row r's token in [B, T, H, size].
  int64_t atToken(int64_t r, int size) const {
    return ((b * call.T + r / call.numRowsPerToken) * call.H + h) * size;
  }
  bool decays(int64_t r) const { return r % call.numRowsPerToken == 0; }
  bool reads(int64_t r) const { return (r + 1) % call.numRowsPerToken == 0; }
  int64_t stateOffset() const { return index * call.K * call.V; }

  void loadRowsOf(const Real* from, const Tile& tile, int size, Real* to, int ld) const {
    const int64_t stride = call.H * size;
    loadRows(from + atRow(tile.token, size), stride, tile.numTokens, size, to, ld);
  }
  void storeRowsOf(const Real* from, int ld, const Tile& tile, int size, Real* to) const {
    storeRows(from, ld, tile.numTokens, size, to + atRow(tile.token, size), call.H * size);
  }
  /// What tokens hand in or take out at their last row; zeros in the other rows.
  void loadReads(const Real* from, const Tile& tile, int size, Real* to, int ld) const {
    for (int i = 0; i < L; i++) {
      const bool present = i < tile.numTokens && reads(tile.token + i);
      const Real* row = present ? from + atToken(tile.token + i, size) : nullptr;
      for (int c = 0; c < ld; c++) to[i * ld + c] = present && c < size ? row[c] : 0;
    }
  }
  void storeReads(const Real* from, int ld, const Tile& tile, int size, Real* to) const {
    for (int i = 0; i < tile.numTokens; i++) {
      if (!reads(tile.token + i)) continue;
      Real* row = to + atToken(tile.token + i, size);
      for (int c = 0; c < size; c++) row[c] = from[i * ld + c];
    }
  }
};

/// A stored state [V, K] into scratch [Kp, ld] (already zero); null leaves it.
template <typename Real>
static inline void loadDeltaState(const DeltaHead<Real>& head, const Real* states, Real* to, int ld) {
  if (states == nullptr) return;
  const Real* from = states + head.stateOffset();
  for (int v = 0; v < head.call.V; v++) {
    for (int k = 0; k < head.call.K; k++) to[k * ld + v] = from[v * head.call.K + k];
  }
}

template <typename Real>
static inline void storeDeltaState(const DeltaHead<Real>& head, const Real* from, int ld, Real* states) {
  Real* to = states + head.stateOffset();
  for (int v = 0; v < head.call.V; v++) {
    for (int k = 0; k < head.call.K; k++) to[v * head.call.K + k] = from[k * ld + v];
  }
}

template <typename Real>
static inline void fillZero(Real* p, int count) {
  for (int i = 0; i < count; i++) p[i] = 0;
}

/// to = rows * decays * factor, all [L, Kp].
template <typename Real>
static inline void decayedRows(const Real* rows, const Real* decays, Real factor, int Kp, Real* to) {
  using V = Vec<Real>;
  for (int x = 0; x < L * Kp; x += V::width) {
    (V::load(rows + x) * V::load(decays + x) * V::set(factor)).store(to + x);
  }
}

/// Decays of a tile's rows. `total` is exp of the sum of logs: a product of rounded factors would drift over
/// thousands of tokens of slow decay.
template <typename Real>
static inline void loadDeltaDecays(const DeltaHead<Real>& head, const Tile& tile, DeltaScratch<Real>& s) {
  using V = Vec<Real>;
  const DeltaRule<Real>& c = head.call;
  const int Kp = s.Kp;
  if (c.gate == DeltaGate::diagonal) {
    for (int i = 0; i < L; i++) {
      const bool present = i < tile.numTokens && head.decays(tile.token + i);
      const Real* g = present ? c.g + head.atToken(tile.token + i, c.K) : nullptr;
      for (int x = 0; x < Kp; x++) s.decay[i * Kp + x] = present && x < c.K ? g[x] : 0;
    }
    for (int x = 0; x < Kp; x += V::width) {
      V log = V::zero(), product = V::set(1);
      product.store(s.prefix + x);
      for (int i = 0; i < L; i++) {
        const V g = V::load(s.decay + i * Kp + x);
        const V a = vexp(g);
        log = log + g;
        product = product * a;
        a.store(s.decay + i * Kp + x);
        product.store(s.prefix + (i + 1) * Kp + x);
      }
      vexp(log).store(s.total + x);
      product = V::set(1);
      for (int i = L - 1; i >= 0; i--) {
        product.store(s.suffix + i * Kp + x);
        product = product * V::load(s.decay + i * Kp + x);
      }
    }
    return;
  }
  const auto fill = [Kp](Real* row, Real value) {
    for (int x = 0; x < Kp; x++) row[x] = value;
  };
  Real log = 0, product = 1;
  fill(s.prefix, 1);
  for (int i = 0; i < L; i++) {
    const bool present = c.gate == DeltaGate::scalar && i < tile.numTokens && head.decays(tile.token + i);
    const Real g = present ? c.g[head.atToken(tile.token + i, 1)] : 0;
    const Real a = std::exp(g);
    log += g;
    product *= a;
    for (int j = 0; j < i; j++) s.ratio[i * L + j] = s.ratio[(i - 1) * L + j] * a;
    s.ratio[i * L + i] = 1;
    fill(s.decay + i * Kp, a);
    fill(s.prefix + (i + 1) * Kp, product);
  }
  for (int i = 0; i < L; i++) fill(s.suffix + i * Kp, s.ratio[(L - 1) * L + i]);
  fill(s.total, std::exp(log));
}

/// Keys, values and decays of a tile; not the queries.
template <typename Real>
static inline void loadDeltaTile(const DeltaHead<Real>& head, const Tile& tile, DeltaScratch<Real>& s) {
  const DeltaRule<Real>& c = head.call;
  const int Kp = s.Kp;
  loadDeltaDecays(head, tile, s);
  head.loadRowsOf(c.k, tile, c.K, s.key, Kp);
  head.loadRowsOf(c.v, tile, c.V, s.value[0], s.W);
  if (c.erase == DeltaErase::key) {
    decayedRows(s.key, s.decay, Real(1), Kp, s.eraseKey);
  } else {
    head.loadRowsOf(c.b, tile, c.K, s.eraseKey, Kp);
  }
  if (c.erase == DeltaErase::dplr) head.loadRowsOf(c.e, tile, c.K, s.writeKey[1], Kp);
  for (int i = 0; i < L; i++) {
    const bool scaled = c.beta != nullptr && i < tile.numTokens;
    const Real beta = scaled ? c.beta[head.atRow(tile.token + i, 1)] : 1;
    for (int x = 0; x < Kp; x++) s.writeKey[0][i * Kp + x] = beta * s.key[i * Kp + x];
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
