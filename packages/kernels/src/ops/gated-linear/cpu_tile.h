#pragma once

// A slice is worked through in tiles of at most 16 tokens of one document. All decays inside a tile are
// products of factors <= 1 in the order of time: no quotient of cumulative decays is ever formed, so no gate
// is too strong. Tiles live in scratch memory, padded with zeros to whole vectors. Included by this folder's
// cpu*.cc only.

#include "../../core/tile.h"
#include "gated_linear.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Pointers into one thread's scratch; [rows, padded columns] each.
template <typename Real>
struct Scratch {
  int Kp, Vp;
  Real* state;                        // [Kp, Vp]
  Real *q, *k;                        // [L, Kp]
  Real *v, *o;                        // [L, Vp]
  Real *keyRows, *queryRows, *moved;  // [L, Kp]
  Real* transposed;                   // [max(Kp, Vp), L]
  Real* product;                      // [Kp, L]
  Real *scores, *scoreGrads;          // [L, L]
  Real* own;                          // [L], with a bonus: what scoreGrads would have on its diagonal
  Real* bonus;                        // [Kp]
  Real *decay, *prefix, *suffix;      // diagonal: [L, Kp]; scalar: [L]
  Real *total, *logTotal, *running;   // [Kp]
  double *logRunning, *bonusGrad;     // [Kp], log decay from the slice's start; sum over its tokens
  Real* ratio;                        // [L, L], scalar kinds

  // The double arrays come first, so everything stays aligned; Kp is a multiple of 16.
  Scratch(void* memory, int K, int V)
      : Kp(padded(K)), Vp(padded(V)), logRunning(static_cast<double*>(memory)), bonusGrad(logRunning + Kp) {
    Real* next = reinterpret_cast<Real*>(bonusGrad + Kp);
    auto take = [&](int count) {
      Real* p = next;
      next += count;
      for (int i = 0; i < count; i++) p[i] = 0;
      return p;
    };
    state = take(Kp * Vp);
    q = take(L * Kp), k = take(L * Kp), v = take(L * Vp), o = take(L * Vp);
    keyRows = take(L * Kp), queryRows = take(L * Kp), moved = take(L * Kp);
    transposed = take((Kp > Vp ? Kp : Vp) * L), product = take(Kp * L);
    scores = take(L * L), scoreGrads = take(L * L), own = take(L), bonus = take(Kp);
    decay = take(L * Kp), prefix = take(L * Kp), suffix = take(L * Kp);
    total = take(Kp), logTotal = take(Kp), running = take(Kp), ratio = take(L * L);
  }
};

/// A stored state [V, K] into scratch [Kp, Vp]; null gives zeros.
template <typename Real>
static inline void loadState(const Real* from, int K, int V, Real* to, int Kp, int Vp) {
  for (int i = 0; i < Kp * Vp; i++) to[i] = 0;
  if (from == nullptr) return;
  for (int v = 0; v < V; v++) {
    for (int k = 0; k < K; k++) to[k * Vp + v] = from[v * K + k];
  }
}

template <typename Real>
static inline void storeState(const Real* from, int Vp, int K, int V, Real* to) {
  for (int v = 0; v < V; v++) {
    for (int k = 0; k < K; k++) to[v * K + k] = from[k * Vp + v];
  }
}

/// The rows of one head in a tensor [B, T, heads, size].
struct HeadRows {
  int64_t offset;  // of token 0
  int64_t stride;  // from one token to the next
  int size;

  HeadRows(int64_t b, int64_t T, int64_t numHeads, int64_t head, int rowSize)
      : offset((b * T * numHeads + head) * rowSize), stride(numHeads * rowSize), size(rowSize) {}

  /// A tile's rows into scratch [L, padded size], and back.
  template <typename Real>
  void load(const Real* from, const Tile& tile, Real* to) const {
    loadRows(from + offset + tile.token * stride, stride, tile.numTokens, size, to, padded(size));
  }
  template <typename Real>
  void store(const Real* from, const Tile& tile, Real* to) const {
    storeRows(from, padded(size), tile.numTokens, size, to + offset + tile.token * stride, stride);
  }
};

/// One head of one batch row of a call.
template <typename Real>
struct Head {
  const GatedLinear<Real>& call;
  int64_t b, h;
  HeadRows keys;      // of k and q, [B, T, G, K]
  HeadRows channels;  // of what each head has for itself, [B, T, H, K]
  HeadRows values;    // [B, T, H, V]

  Head(const GatedLinear<Real>& c, int64_t index)
      : call(c),
        b(index / c.H),
        h(index % c.H),
        keys(b, c.T, c.G, h / (c.H / c.G), c.K),
        channels(b, c.T, c.H, h, c.K),
        values(b, c.T, c.H, h, c.V) {}

  DocumentTiles tiles() const {
    return {call.resets == nullptr ? nullptr : call.resets + b * call.T, call.T};
  }

  void loadBonus(Real* to) const {
    if (call.bonus == nullptr) return;
    for (int x = 0; x < call.K; x++) to[x] = call.bonus[h * call.K + x];
  }
};

/// Tokens between the write that a read sees last and the read itself: with a bonus the own token is apart.
template <typename Real>
static inline int readLag(const GatedLinear<Real>& c) {
  return c.bonus == nullptr ? 0 : 1;
}

/// Decays of a tile: `decay`, their products from the tile's start up to what a token reads (`prefix`) and
/// from what it writes to the tile's end (`suffix`), and `total`. Scalar kinds hold one value per token, and
/// `ratio[i][j]`, the decay from the write of j to the read of i > j. `total` is exp of the sum of logs: a
/// product of rounded factors would drift over thousands of tokens of slow decay.
template <typename Real>
static inline void loadDecays(const Head<Real>& head, const Tile& tile, Scratch<Real>& s) {
  using V = Vec<Real>;
  const GatedLinear<Real>& c = head.call;
  const int lag = readLag(c);
  if (c.decay == Decay::diagonal) {
    const int Kp = s.Kp;
    head.channels.load(c.g, tile, s.decay);
    for (int x = 0; x < Kp; x += V::width) {
      V log = V::zero();
      for (int i = 0; i < L; i++) {
        const V g = V::load(s.decay + i * Kp + x);
        log = log + g;
        vexp(g).store(s.decay + i * Kp + x);
      }
      log.store(s.logTotal + x);
      vexp(log).store(s.total + x);
      V p = V::set(1);
      if (lag == 1) p.store(s.prefix + x);
      for (int i = 0; i + lag < L; i++) {
        p = p * V::load(s.decay + i * Kp + x);
        p.store(s.prefix + (i + lag) * Kp + x);
      }
      p = V::set(1);
      for (int i = L - 1; i >= 0; i--) {
        p.store(s.suffix + i * Kp + x);
        p = p * V::load(s.decay + i * Kp + x);
      }
    }
    return;
  }
  Real log = 0;
  for (int i = 0; i < L; i++) {
    Real g = 0;
    if (i < tile.numTokens && c.decay == Decay::fixedScalar) g = c.g[head.h];
    if (i < tile.numTokens && c.decay == Decay::scalar)
      g = c.g[(head.b * c.T + tile.token + i) * c.H + head.h];
    const Real a = std::exp(g);
    log += g;
    s.decay[i] = a;
    s.prefix[i] = i == 0 ? a : s.prefix[i - 1] * a;
    for (int j = 0; j < i; j++) s.ratio[i * L + j] = s.ratio[(i - 1) * L + j] * a;
    s.ratio[i * L + i] = 1;
  }
  for (int i = 0; i < L; i++) s.suffix[i] = s.ratio[(L - 1) * L + i];
  for (int x = 0; x < s.Kp; x++) s.logTotal[x] = log, s.total[x] = std::exp(log);
  if (lag == 0) return;
  for (int i = L - 1; i > 0; i--) {
    s.prefix[i] = s.prefix[i - 1];
    for (int j = 0; j < i; j++) s.ratio[i * L + j] = s.ratio[(i - 1) * L + j];
  }
  s.prefix[0] = 1;
}

/// to[i] = rows[i] times the tile's prefix or suffix decays, times `factor`.
template <typename Real>
static inline void scaleRows(const GatedLinear<Real>& c, const Real* rows, const Real* decays, Real factor,
                             int Kp, Real* to) {
  using V = Vec<Real>;
  for (int i = 0; i < L; i++) {
    for (int x = 0; x < Kp; x += V::width) {
      const V d = c.decay == Decay::diagonal ? V::load(decays + i * Kp + x) : V::set(decays[i]);
      (V::load(rows + i * Kp + x) * d * V::set(factor)).store(to + i * Kp + x);
    }
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan

/// A kernel of gated_linear.h as a loop over heads, in the two types.
#define LONGSCAN_HEADS(name, Task, perHead)                                        \
  void name(const Task<float>& task, int64_t begin, int64_t end, void* scratch) {  \
    Scratch<float> s(scratch, task.call.K, task.call.V);                           \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }                                                                                \
  void name(const Task<double>& task, int64_t begin, int64_t end, void* scratch) { \
    Scratch<double> s(scratch, task.call.K, task.call.V);                          \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }
