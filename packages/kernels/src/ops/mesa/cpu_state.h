#pragma once

// The two states of a head, and the solution of a token's system. Included by this folder's cpu*.cc only.

#include "../../core/tile.h"
#include "cpu_cholesky.h"
#include "mesa.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

/// Pointers into one thread's scratch; rows are padded with zeros to Kp columns.
template <typename Real>
struct MesaScratch {
  int Kp;
  Real *state, *adjoint;      // [K + V, Kp]
  Real* chunkStates;          // [mesaChunk, K + V, Kp]: what the tokens of a chunk find
  Real* system;               // [Kp, Kp]
  Real *k, *x, *sum, *along;  // [Kp]

  MesaScratch(void* memory, int K, int V) : Kp(padded(K)) {
    Real* next = static_cast<Real*>(memory);
    auto take = [&](int count) {
      Real* p = next;
      next += count;
      for (int i = 0; i < count; i++) p[i] = 0;
      return p;
    };
    state = take((K + V) * Kp), adjoint = take((K + V) * Kp);
    chunkStates = take(mesaChunk * (K + V) * Kp), system = take(Kp * Kp);
    k = take(Kp), x = take(Kp), sum = take(Kp), along = take(Kp);
  }
};

/// One head of one batch row of a call.
template <typename Real>
struct MesaHead {
  const Mesa<Real>& call;
  int64_t index, b, h;

  MesaHead(const Mesa<Real>& c, int64_t i) : call(c), index(i), b(i / c.H), h(i % c.H) {}

  /// Of token t in [B, T, H].
  int64_t at(int64_t t) const { return (b * call.T + t) * call.H + h; }
  bool startsDocument(int64_t t) const { return call.resets != nullptr && call.resets[b * call.T + t] != 0; }
  int64_t stateSize() const { return static_cast<int64_t>(call.K + call.V) * call.K; }
  int64_t stateOffset() const { return index * stateSize(); }
  int64_t checkpointOffset(int64_t chunk) const {
    return (index * ((call.T + mesaChunk - 1) / mesaChunk) + chunk) * stateSize();
  }
};

/// [n] into [padded], padded with zeros.
template <typename Real>
static inline void loadVector(const Real* from, int n, Real* to, int padded) {
  for (int i = 0; i < padded; i++) to[i] = i < n ? from[i] : Real(0);
}

/// Stored rows into scratch, the padding anew, since a head before may have left anything there; null gives
/// zeros.
template <typename Real>
static inline void loadMesaState(const Real* from, const Mesa<Real>& c, Real* to, int Kp) {
  for (int r = 0; r < c.K + c.V; r++) {
    for (int x = 0; x < Kp; x++) to[r * Kp + x] = from == nullptr || x >= c.K ? Real(0) : from[r * c.K + x];
  }
}

template <typename Real>
static inline void storeMesaState(const Real* from, int Kp, const Mesa<Real>& c, Real* to) {
  for (int r = 0; r < c.K + c.V; r++) {
    for (int x = 0; x < c.K; x++) to[r * c.K + x] = from[r * Kp + x];
  }
}

/// y[x] += a * row[x].
template <typename Real>
static inline void addScaled(Real a, const Real* row, int n, Real* y) {
  using Vector = Vec<Real>;
  const Vector factor = Vector::set(a);
  for (int x = 0; x < n; x += Vector::width) {
    (Vector::load(y + x) + factor * Vector::load(row + x)).store(y + x);
  }
}

/// after <- exp(g) before + beta [k; v] k^T, from nothing where a document starts; `after` may be `before`.
template <typename Real>
static inline void writeToken(const MesaHead<Real>& head, int64_t t, MesaScratch<Real>& s, const Real* before,
                              Real* after) {
  using Vector = Vec<Real>;
  const Mesa<Real>& c = head.call;
  const int64_t at = head.at(t);
  loadVector(c.k + at * c.K, c.K, s.k, s.Kp);
  const bool reset = head.startsDocument(t);
  const Vector decay = Vector::set(std::exp(c.g[at]));
  for (int r = 0; r < c.K + c.V; r++) {
    const Vector value = Vector::set(c.beta[at] * (r < c.K ? s.k[r] : c.v[at * c.V + r - c.K]));
    for (int x = r * s.Kp; x < (r + 1) * s.Kp; x += Vector::width) {
      // Selected: the state of another document may hold anything, NaN included.
      const Vector kept = reset ? Vector::zero() : decay * Vector::load(before + x);
      (kept + value * Vector::load(s.k + x - r * s.Kp)).store(after + x);
    }
  }
}

/// system <- U of Hkk + diag(lambda) as it is after this token.
template <typename Real>
static inline void factorSystem(const MesaHead<Real>& head, MesaScratch<Real>& s) {
  const int K = head.call.K, Kp = s.Kp;
  for (int i = 0; i < Kp; i++) {
    Real* row = s.system + i * Kp;
    for (int x = 0; x < Kp; x++) row[x] = i < K ? s.state[i * Kp + x] : Real(0);
    row[i] += i < K ? head.call.lambda[head.h * K + i] : Real(1);
  }
  choleskyInPlace(s.system, Kp);
}

/// sum <- (Hkk + diag(lambda))^-1 Hkv^T dO: the gradient of the query.
template <typename Real>
static inline void solveForQueryGrad(const MesaHead<Real>& head, const Real* dO, MesaScratch<Real>& s) {
  const Mesa<Real>& c = head.call;
  for (int x = 0; x < s.Kp; x++) s.sum[x] = 0;
  for (int y = 0; y < c.V; y++) addScaled(dO[y], s.state + (c.K + y) * s.Kp, s.Kp, s.sum);
  factorSystem(head, s);
  solveCholesky(s.system, s.Kp, s.sum);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
