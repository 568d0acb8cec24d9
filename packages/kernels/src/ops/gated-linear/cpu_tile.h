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
  Real *decay, *prefix, *suffix;      // diagonal: [L, Kp]; scalar: [L]
  Real *total, *logTotal, *running;   // [Kp]
  double* logRunning;                 // [Kp], log decay from the slice's start
  Real* ratio;                        // [L, L], scalar kinds

  // The double array comes first, so everything stays aligned; Kp is a multiple of 16.
  Scratch(void* memory, int K, int V)
      : Kp(padded(K)), Vp(padded(V)), logRunning(static_cast<double*>(memory)) {
    Real* next = reinterpret_cast<Real*>(logRunning + Kp);
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
    scores = take(L * L), scoreGrads = take(L * L);
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

/// One head of one batch row of a call.
template <typename Real>
struct Head {
  const GatedLinear<Real>& call;
  int64_t b, h;
  int64_t keyStride, valueStride;  // from one token to the next
  int64_t keyOffset, valueOffset;  // of token 0

  Head(const GatedLinear<Real>& c, int64_t index)
      : call(c),
        b(index / c.H),
        h(index % c.H),
        keyStride(c.H * c.K),
        valueStride(c.H * c.V),
        keyOffset((b * c.T * c.H + h) * c.K),
        valueOffset((b * c.T * c.H + h) * c.V) {}

  DocumentTiles tiles() const {
    return {call.resets == nullptr ? nullptr : call.resets + b * call.T, call.T};
  }
  Tile tileAt(int64_t t) const { return tiles().at(t); }
  Tile tileBefore(int64_t end) const { return tiles().before(end); }
  int64_t firstReset() const { return tiles().firstReset(); }
};

/// Decays of a tile: `decay`, their products from the tile's start (`prefix`, inclusive) and to its end
/// (`suffix`, exclusive), and `total`. Scalar kinds hold one value per token, and `ratio[i][j]`, the decay
/// from j to i >= j. `total` is exp of the sum of logs: a product of rounded factors would drift over
/// thousands of tokens of slow decay.
template <typename Real>
static inline void loadDecays(const Head<Real>& head, const Tile& tile, Scratch<Real>& s) {
  using V = Vec<Real>;
  const GatedLinear<Real>& c = head.call;
  const int n = tile.numTokens;
  if (c.decay == Decay::diagonal) {
    const int Kp = s.Kp;
    loadRows(c.g + head.keyOffset + tile.token * head.keyStride, head.keyStride, n, c.K, s.decay, Kp);
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
      for (int i = 0; i < L; i++) {
        p = p * V::load(s.decay + i * Kp + x);
        p.store(s.prefix + i * Kp + x);
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
    if (i < n && c.decay == Decay::fixedScalar) g = c.g[head.h];
    if (i < n && c.decay == Decay::scalar) g = c.g[(head.b * c.T + tile.token + i) * c.H + head.h];
    const Real a = std::exp(g);
    log += g;
    s.decay[i] = a;
    s.prefix[i] = i == 0 ? a : s.prefix[i - 1] * a;
    for (int j = 0; j < i; j++) s.ratio[i * L + j] = s.ratio[(i - 1) * L + j] * a;
    s.ratio[i * L + i] = 1;
  }
  for (int i = 0; i < L; i++) s.suffix[i] = s.ratio[(L - 1) * L + i];
  for (int x = 0; x < s.Kp; x++) s.logTotal[x] = log, s.total[x] = std::exp(log);
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

/// scores[i][j] = scale * q_i . (decay from j to i) k_j for j <= i, 0 above. Diagonal: the keys are kept
/// decayed up to the present query, one lane per key, so each query costs one multiplication and one product
/// per key element.
template <typename Real>
static inline void computeScores(const GatedLinear<Real>& c, Scratch<Real>& s) {
  using V = Vec<Real>;
  constexpr int N = L / V::width;
  const int Kp = s.Kp;
  if (c.decay != Decay::diagonal) {
    transposeRows(s.k, Kp, s.transposed);
    multiply<Real, Old::drop>(L, L, Kp, s.q, Kp, 1, s.transposed, L, s.scores, L);
    for (int i = 0; i < L; i++) {
      for (int j = 0; j < L; j++) {
        s.scores[i * L + j] = j <= i ? s.scores[i * L + j] * s.ratio[i * L + j] * c.scale : 0;
      }
    }
    return;
  }
  Real* keys = s.transposed;  // [Kp, L]
  for (int x = 0; x < Kp * L; x++) keys[x] = 0;
  V lanes[N];
  for (int n = 0; n < N; n++) {
    for (int l = 0; l < V::width; l++) lanes[n].v[l] = static_cast<Real>(n * V::width + l);
  }
  for (int i = 0; i < L; i++) {
    V sum[N];
    for (int n = 0; n < N; n++) sum[n] = V::zero();
    const V present = V::set(static_cast<Real>(i));
    for (int x = 0; x < Kp; x++) {
      const V decay = V::set(s.decay[i * Kp + x]);
      const V query = V::set(s.q[i * Kp + x]);
      const V inserted = V::set(s.k[i * Kp + x]);
      for (int n = 0; n < N; n++) {
        Real* at = keys + x * L + n * V::width;
        const V decayed = V::load(at) * decay;
        const V key{lanes[n].v == present.v ? inserted.v : decayed.v};
        key.store(at);
        sum[n] = sum[n] + query * key;
      }
    }
    for (int n = 0; n < N; n++) (sum[n] * V::set(c.scale)).store(s.scores + i * L + n * V::width);
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
