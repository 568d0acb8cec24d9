#pragma once

// What a tile computes from its keys, values and decays: scores, the values that are written, reads of the
// state inside the tile, the state after it. Included by this folder's cpu*.cc only.

#include "cpu_tile.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// products [L, L] = rows columns^T, rows and columns [L, n].
template <typename Real>
static inline void rowProducts(const Real* rows, const Real* columns, int n, Real* transposed,
                               Real* products) {
  transposeRows(columns, n, transposed);
  multiply<Real, Old::drop>(L, L, n, rows, n, 1, transposed, L, products, L);
}

/// readScores[i][j] = scale * q_i . (decay from j to i) key_j for j <= i; eraseScores[i][j] the same of the
/// erase key and the state before row i, for j < i. Above: 0.
template <typename Real>
static inline void scalarScores(const DeltaRule<Real>& c, int w, bool withQueries, DeltaScratch<Real>& s) {
  transposeRows(s.writeKey[w], s.Kp, s.transposed);
  multiply<Real, Old::drop>(L, L, s.Kp, s.eraseKey, s.Kp, 1, s.transposed, L, s.eraseScores[w], L);
  if (withQueries)
    multiply<Real, Old::drop>(L, L, s.Kp, s.keyQuery, s.Kp, 1, s.transposed, L, s.readScores[w], L);
  for (int i = 0; i < L; i++) {
    for (int j = 0; j < L; j++) {
      Real* erase = s.eraseScores[w] + i * L + j;
      Real* read = s.readScores[w] + i * L + j;
      *erase = j < i ? *erase * s.ratio[(i - 1) * L + j] : 0;
      if (withQueries) *read = j <= i ? *read * s.ratio[i * L + j] * c.scale : 0;
    }
  }
}

/// The keys are kept decayed up to the present row, one lane per key, so a row costs one multiplication and
/// two products per key element.
template <typename Real>
static inline void diagonalScores(const DeltaRule<Real>& c, int w, DeltaScratch<Real>& s) {
  using V = Vec<Real>;
  constexpr int N = L / V::width;
  const int Kp = s.Kp;
  Real* keys = s.transposed;  // [Kp, L]
  fillZero(keys, Kp * L);
  V lanes[N];
  for (int n = 0; n < N; n++) {
    for (int l = 0; l < V::width; l++) lanes[n].v[l] = static_cast<Real>(n * V::width + l);
  }
  for (int i = 0; i < L; i++) {
    V read[N], erase[N];
    for (int n = 0; n < N; n++) read[n] = erase[n] = V::zero();
    const V present = V::set(static_cast<Real>(i));
    for (int x = 0; x < Kp; x++) {
      const V decay = V::set(s.decay[i * Kp + x]);
      const V query = V::set(s.keyQuery[i * Kp + x]);
      const V eraseKey = V::set(s.eraseKey[i * Kp + x]);
      const V inserted = V::set(s.writeKey[w][i * Kp + x]);
      for (int n = 0; n < N; n++) {
        Real* at = keys + x * L + n * V::width;
        const V before = V::load(at);
        const V decayed = before * decay;
        const V key{lanes[n].v == present.v ? inserted.v : decayed.v};
        key.store(at);
        erase[n] = erase[n] + eraseKey * before;
        read[n] = read[n] + query * key;
      }
    }
    for (int n = 0; n < N; n++) {
      erase[n].store(s.eraseScores[w] + i * L + n * V::width);
      (read[n] * V::set(c.scale)).store(s.readScores[w] + i * L + n * V::width);
    }
  }
}

template <typename Real>
static inline void deltaScores(const DeltaRule<Real>& c, bool withQueries, DeltaScratch<Real>& s) {
  for (int w = 0; w < s.numWrites; w++) {
    if (c.gate == DeltaGate::diagonal) {
      diagonalScores(c, w, s);
    } else {
      scalarScores(c, w, withQueries, s);
    }
  }
}

/// rows_i += sign * sum over j < i of scores[i][j] rows_j, from the first row on: the inverse of I - sign *
/// scores. `transposed`: of its transpose, from the last row on.
template <typename Real>
static inline void solveRows(const Real* scores, Real sign, bool transposed, int cols, Real* rows) {
  using V = Vec<Real>;
  const V factor = V::set(sign);
  for (int c = 0; c < cols; c += V::width) {
    for (int step = 1; step < L; step++) {
      const int i = transposed ? L - 1 - step : step;
      V sum = V::zero();
      if (transposed) {
        for (int j = i + 1; j < L; j++) sum = sum + V::set(scores[j * L + i]) * V::load(rows + j * cols + c);
      } else {
        for (int j = 0; j < i; j++) sum = sum + V::set(scores[i * L + j]) * V::load(rows + j * cols + c);
      }
      (V::load(rows + i * cols + c) + factor * sum).store(rows + i * cols + c);
    }
  }
}

/// The values that the tile's rows write, given the state before it [Kp, W] (DeltaNet's UT transform, its
/// inverse applied by substitution). Scores must be there.
template <typename Real>
static inline void deltaValues(const DeltaRule<Real>& c, const Real* state, DeltaScratch<Real>& s) {
  using V = Vec<Real>;
  const int W = s.W;
  decayedRows(s.eraseKey, s.prefix, Real(1), s.Kp, s.moved);
  multiply<Real, Old::drop>(L, W, c.K, s.moved, s.Kp, 1, state, W, s.value[1], W);
  if (s.numWrites == 2) {
    multiply<Real, Old::add>(L, W, L, s.eraseScores[0], L, 1, s.value[0], W, s.value[1], W);
    solveRows(s.eraseScores[1], Real(1), false, W, s.value[1]);
    return;
  }
  for (int x = 0; x < L * W; x += V::width) {
    (V::load(s.value[0] + x) - V::load(s.value[1] + x)).store(s.value[0] + x);
  }
  solveRows(s.eraseScores[0], Real(-1), false, W, s.value[0]);
}

/// out [L, Vp] = scale * S_i^T q_i for each row's key query, S_i the state after row i.
template <typename Real>
static inline void readByKey(const DeltaRule<Real>& c, const Real* state, DeltaScratch<Real>& s, Real* out) {
  decayedRows(s.keyQuery, s.prefix + s.Kp, c.scale, s.Kp, s.moved);
  multiply<Real, Old::drop>(L, s.Vp, c.K, s.moved, s.Kp, 1, state, s.W, out, s.Vp);
  for (int w = 0; w < s.numWrites; w++) {
    multiply<Real, Old::add>(L, s.Vp, L, s.readScores[w], L, 1, s.value[w], s.W, out, s.Vp);
  }
}

/// weights[i][j] = factor * rows_i . value_j for j < i, and for j = i if `inclusive`; 0 above. rows [L, Vp].
template <typename Real>
static inline void valueWeights(const Real* rows, int w, Real factor, bool inclusive, DeltaScratch<Real>& s,
                                Real* weights) {
  rowProducts(rows, s.value[w], s.Vp, s.transposed, weights);
  for (int i = 0; i < L; i++) {
    for (int j = 0; j < L; j++) weights[i * L + j] = j < i + inclusive ? weights[i * L + j] * factor : 0;
  }
}

/// out [L, Kp] = factor * decays ∘ (matrix rows^T)^T, matrix [Kp, Vp], rows [L, Vp].
template <typename Real>
static inline void throughState(const DeltaRule<Real>& c, const Real* matrix, const Real* rows,
                                const Real* decays, Real factor, DeltaScratch<Real>& s, Real* out) {
  transposeRows(rows, s.Vp, s.transposed);
  multiply<Real, Old::drop>(s.Kp, L, c.V, matrix, s.Vp, 1, s.transposed, L, s.product, L);
  for (int i = 0; i < L; i++) {
    for (int x = 0; x < s.Kp; x++) out[i * s.Kp + x] = s.product[x * L + i] * decays[i * s.Kp + x] * factor;
  }
}

/// to [Kp] += sum over rows first <= j < end of weights[j * stride] rows_j.
template <typename Real>
static inline void addRows(const Real* weights, int stride, int first, int end, const Real* rows, int Kp,
                           Real* to) {
  using V = Vec<Real>;
  for (int x = 0; x < Kp; x += V::width) {
    V sum = V::load(to + x);
    for (int j = first; j < end; j++) sum = sum + V::set(weights[j * stride]) * V::load(rows + j * Kp + x);
    sum.store(to + x);
  }
}

template <typename Real>
static inline void decayEach(const Real* decay, int first, int end, int Kp, Real* rows) {
  using V = Vec<Real>;
  for (int j = first; j < end; j++) {
    for (int x = 0; x < Kp; x += V::width) {
      (V::load(rows + j * Kp + x) * V::load(decay + x)).store(rows + j * Kp + x);
    }
  }
}

/// read_i += sum of readWeights[i][j] (decay from j to i) key_j, and erase_i += the same of eraseWeights with
/// the decay up to the row before i; `erase` may be null. Both [L, Kp].
template <typename Real>
static inline void addWrittenKeys(const DeltaRule<Real>& c, int w, DeltaScratch<Real>& s, Real* read,
                                  Real* erase) {
  const int Kp = s.Kp;
  if (c.gate == DeltaGate::diagonal) {
    for (int x = 0; x < L * Kp; x++) s.moved[x] = s.writeKey[w][x];
    for (int i = 0; i < L; i++) {
      if (erase != nullptr) addRows(s.eraseWeights[w] + i * L, 1, 0, i, s.moved, Kp, erase + i * Kp);
      decayEach(s.decay + i * Kp, 0, i, Kp, s.moved);
      addRows(s.readWeights[w] + i * L, 1, 0, i + 1, s.moved, Kp, read + i * Kp);
    }
    return;
  }
  multiply<Real, Old::add>(L, Kp, L, s.readWeights[w], L, 1, s.writeKey[w], Kp, read, Kp);
  if (erase != nullptr)
    multiply<Real, Old::add>(L, Kp, L, s.eraseWeights[w], L, 1, s.writeKey[w], Kp, erase, Kp);
}

/// Scalar decays are part of the weights; diagonal ones cannot be.
template <typename Real>
static inline void decayWeights(const DeltaRule<Real>& c, const DeltaScratch<Real>& s, bool inclusive,
                                Real* weights) {
  if (c.gate == DeltaGate::diagonal) return;
  for (int i = 1; i < L; i++) {
    for (int j = 0; j < i; j++) weights[i * L + j] *= s.ratio[(inclusive ? i : i - 1) * L + j];
  }
}

/// out [L, Kp] = scale * S_i u_i for each row's value query u_i. Leaves the read weights.
template <typename Real>
static inline void readByValue(const DeltaRule<Real>& c, const Real* state, DeltaScratch<Real>& s,
                               Real* out) {
  throughState(c, state, s.valueQuery, s.prefix + s.Kp, c.scale, s, out);
  for (int w = 0; w < s.numWrites; w++) {
    valueWeights(s.valueQuery, w, c.scale, true, s, s.readWeights[w]);
    decayWeights(c, s, true, s.readWeights[w]);
    addWrittenKeys<Real>(c, w, s, out, nullptr);
  }
}

/// The state [Kp, W] after the tile.
template <typename Real>
static inline void advanceState(DeltaScratch<Real>& s, Real* state) {
  decayedRows(s.writeKey[0], s.suffix, Real(1), s.Kp, s.moved);
  multiply<Real, Old::scaleRows>(s.Kp, s.W, L, s.moved, 1, s.Kp, s.value[0], s.W, state, s.W, s.total);
  if (s.numWrites == 1) return;
  decayedRows(s.writeKey[1], s.suffix, Real(1), s.Kp, s.moved);
  multiply<Real, Old::add>(s.Kp, s.W, L, s.moved, 1, s.Kp, s.value[1], s.W, state, s.W);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
