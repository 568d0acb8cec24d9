#pragma once

// What the tokens of one tile read of each other, on either axis of the state, with gradients. Included by
// this folder's cpu*.cc only.

#include "cpu_tile.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// scores[i][j] = scale * q_i . (decay from j to i) k_j for j <= i - lag, 0 above. Diagonal: the keys are
/// kept decayed up to the present query, one lane per key, so each query costs one multiplication and one
/// product per key element.
template <typename Real>
static inline void computePairScores(const GatedLinear<Real>& c, int lag, Scratch<Real>& s) {
  using V = Vec<Real>;
  constexpr int N = L / V::width;
  const int Kp = s.Kp;
  if (c.decay != Decay::diagonal) {
    transposeRows(s.k, Kp, s.transposed);
    multiply<Real, Old::drop>(L, L, Kp, s.q, Kp, 1, s.transposed, L, s.scores, L);
    for (int i = 0; i < L; i++) {
      for (int j = 0; j < L; j++) {
        s.scores[i * L + j] = j <= i - lag ? s.scores[i * L + j] * s.ratio[i * L + j] * c.scale : 0;
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
  if (lag == 1) {
    for (int j = 0; j < L; j++) s.scores[j] = 0;
  }
  for (int i = lag; i < L; i++) {
    const int newest = i - lag;
    V sum[N];
    for (int n = 0; n < N; n++) sum[n] = V::zero();
    const V present = V::set(static_cast<Real>(newest));
    for (int x = 0; x < Kp; x++) {
      const V decay = V::set(s.decay[newest * Kp + x]);
      const V query = V::set(s.q[i * Kp + x]);
      const V inserted = V::set(s.k[newest * Kp + x]);
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

/// All that a tile's outputs take from its values: the scores of pairs, and with a bonus scale * q_i . (u ∘
/// k_i) on the diagonal.
template <typename Real>
static inline void computeScores(const GatedLinear<Real>& c, Scratch<Real>& s) {
  using V = Vec<Real>;
  const int lag = readLag(c);
  computePairScores(c, lag, s);
  if (lag == 0) return;
  for (int i = 0; i < L; i++) {
    V sum = V::zero();
    for (int x = 0; x < s.Kp; x += V::width) {
      sum = sum + V::load(s.q + i * s.Kp + x) * V::load(s.k + i * s.Kp + x) * V::load(s.bonus + x);
    }
    s.scores[i * L + i] = sum.sum() * c.scale;
  }
}

/// scoreGrads[i][j] = scale * dO_i . v_j for j <= i, 0 above; scalar kinds times the decay between them. With
/// a bonus the diagonal goes to `own`. Leaves v in `transposed`.
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
  if (readLag(c) == 0) return;
  for (int i = 0; i < L; i++) s.own[i] = s.scoreGrads[i * L + i], s.scoreGrads[i * L + i] = 0;
}

/// to[x] += sum over `weights` of rows that are decayed step by step: the diagonal kinds' inner sums.
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

/// to [L, Kp] += transpose(product [Kp, L]) * decays: what goes through the state.
template <typename Real>
static inline void addThroughState(const GatedLinear<Real>& c, const Scratch<Real>& s, const Real* decays,
                                   Real factor, Real* to) {
  for (int i = 0; i < L; i++) {
    for (int x = 0; x < s.Kp; x++) {
      const Real d = c.decay == Decay::diagonal ? decays[i * s.Kp + x] : decays[i];
      to[i * s.Kp + x] += s.product[x * L + i] * d * factor;
    }
  }
}

/// o [L, Vp] = what the queries in `q` read: of the tile, and of the state before it.
template <typename Real>
static inline void readWithKeys(const GatedLinear<Real>& c, Scratch<Real>& s) {
  computeScores(c, s);
  multiply<Real, Old::drop>(L, s.Vp, L, s.scores, L, 1, s.v, s.Vp, s.o, s.Vp);
  scaleRows(c, s.q, s.prefix, c.scale, s.Kp, s.queryRows);
  multiply<Real, Old::add>(L, s.Vp, c.K, s.queryRows, s.Kp, 1, s.state, s.Vp, s.o, s.Vp);
}

/// queryRows [L, Kp] = what the values in `o` read, without the bonus.
template <typename Real>
static inline void readWithValues(const GatedLinear<Real>& c, Scratch<Real>& s) {
  const int lag = readLag(c), Kp = s.Kp;
  Real* out = s.queryRows;
  computeScoreGrads(c, s);
  if (c.decay == Decay::diagonal) {
    for (int x = 0; x < L * Kp; x++) out[x] = 0, s.moved[x] = s.k[x];
    for (int i = 0; i < L; i++) {
      if (i > lag) decayRows(0, i - lag - 1, s.decay + (i - lag) * Kp, Kp, s.moved);
      addWeighted(s.scoreGrads + i * L, 1, 0, i, s.moved, Kp, out + i * Kp);
    }
  } else {
    multiply<Real, Old::drop>(L, Kp, L, s.scoreGrads, L, 1, s.k, Kp, out, Kp);
  }
  transposeRows(s.o, s.Vp, s.transposed);
  multiply<Real, Old::drop>(Kp, L, c.V, s.state, s.Vp, 1, s.transposed, L, s.product, L);
  addThroughState(c, s, s.prefix, c.scale, out);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
