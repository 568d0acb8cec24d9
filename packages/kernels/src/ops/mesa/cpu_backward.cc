#include "cpu_state.h"

// Backward: the sweep of the solutions (forward in time), with the adjoint summary of the slice, and that of
// what was written (backward in time).

namespace longscan {
namespace LONGSCAN_LEVEL {

/// adjoint [K + V, Kp] += what the output of one token adds: -u x^T for Hkk and dO x^T for Hkv, u the
/// gradient of its query.
template <typename Real>
static inline void addOutputAdjoint(const Mesa<Real>& c, const Real* u, const Real* dO, const Real* x,
                                    Real* adjoint, int Kp) {
  for (int i = 0; i < c.K; i++) addScaled(-u[i], x, Kp, adjoint + i * Kp);
  for (int y = 0; y < c.V; y++) addScaled(dO[y], x, Kp, adjoint + (c.K + y) * Kp);
}

template <typename Real>
static void queryGradMesaHead(const MesaQueryGrad<Real>& task, int64_t index, MesaScratch<Real>& s) {
  const Mesa<Real>& c = task.call;
  const MesaHead<Real> head(c, index);
  Real* dLambda = task.dLambda + index * c.K;
  for (int x = 0; x < c.K; x++) dLambda[x] = 0;
  loadMesaState<Real>(nullptr, c, s.adjoint, s.Kp);
  loadMesaState(task.h0 == nullptr ? nullptr : task.h0 + head.stateOffset(), c, s.state, s.Kp);
  bool seesIncoming = task.adjoint != nullptr;
  double logDecay = 0;
  for (int64_t t = 0; t < c.T; t++) {
    if (t % mesaChunk == 0) {
      storeMesaState(s.state, s.Kp, c, task.checkpoints + head.checkpointOffset(t / mesaChunk));
    }
    const int64_t at = head.at(t);
    writeToken(head, t, s, s.state, s.state);
    loadVector(task.x + at * c.K, c.K, s.x, s.Kp);
    solveForQueryGrad(head, task.dO + at * c.V, s);
    for (int x = 0; x < c.K; x++) {
      task.dq[at * c.K + x] = s.sum[x];
      dLambda[x] -= s.sum[x] * s.x[x];
    }
    logDecay += c.g[at];
    const Real decay = static_cast<Real>(std::exp(logDecay));
    // Once the decay has underflowed to an exact zero later tokens add exact zeros.
    seesIncoming = seesIncoming && !head.startsDocument(t) && decay != 0;
    if (!seesIncoming) continue;
    for (int x = 0; x < c.K; x++) s.x[x] *= decay;
    addOutputAdjoint(c, s.sum, task.dO + at * c.V, s.x, s.adjoint, s.Kp);
  }
  if (task.adjoint != nullptr) storeMesaState(s.adjoint, s.Kp, c, task.adjoint + head.stateOffset());
}

/// chunkStates <- the states that the tokens of a chunk find.
template <typename Real>
static void recomputeStates(const MesaKeyValueGrad<Real>& task, const MesaHead<Real>& head, int64_t chunk,
                            MesaScratch<Real>& s) {
  const Mesa<Real>& c = task.call;
  const int64_t first = chunk * mesaChunk, size = static_cast<int64_t>(c.K + c.V) * s.Kp;
  loadMesaState(task.checkpoints + head.checkpointOffset(chunk), c, s.chunkStates, s.Kp);
  for (int64_t i = 1; i < mesaChunk && first + i < c.T; i++) {
    writeToken(head, first + i - 1, s, s.chunkStates + (i - 1) * size, s.chunkStates + i * size);
  }
}

/// The gradients of what a token wrote, beta [k; v] k^T, from the adjoint of the state that it left. k stands
/// in it twice.
template <typename Real>
static void writeGrads(const MesaKeyValueGrad<Real>& task, int64_t at, MesaScratch<Real>& s) {
  const Mesa<Real>& c = task.call;
  const Real beta = c.beta[at];
  Real dBeta = 0;
  for (int x = 0; x < s.Kp; x++) s.sum[x] = 0;
  loadVector(c.k + at * c.K, c.K, s.k, s.Kp);
  for (int r = 0; r < c.K + c.V; r++) {
    const Real* row = s.adjoint + r * s.Kp;
    const Real value = r < c.K ? s.k[r] : c.v[at * c.V + r - c.K];
    const Real along = dotProduct(row, s.k, s.Kp);
    dBeta += value * along;
    addScaled(value, row, s.Kp, s.sum);
    if (r < c.K) {
      s.along[r] = along;
    } else {
      task.dv[at * c.V + r - c.K] = beta * along;
    }
  }
  for (int x = 0; x < c.K; x++) task.dk[at * c.K + x] = beta * (s.sum[x] + s.along[x]);
  task.dBeta[at] = dBeta;
}

template <typename Real>
static void keyValueGradMesaHead(const MesaKeyValueGrad<Real>& task, int64_t index, MesaScratch<Real>& s) {
  const Mesa<Real>& c = task.call;
  const MesaHead<Real> head(c, index);
  const int size = (c.K + c.V) * s.Kp;
  loadMesaState(task.dht == nullptr ? nullptr : task.dht + head.stateOffset(), c, s.adjoint, s.Kp);
  for (int64_t t = c.T - 1; t >= 0; t--) {
    const int64_t at = head.at(t);
    if ((t + 1) % mesaChunk == 0 || t + 1 == c.T) recomputeStates(task, head, t / mesaChunk, s);
    loadVector(task.x + at * c.K, c.K, s.x, s.Kp);
    addOutputAdjoint(c, task.dq + at * c.K, task.dO + at * c.V, s.x, s.adjoint, s.Kp);
    writeGrads(task, at, s);
    if (head.startsDocument(t)) {
      // What came before this document had no part in it.
      for (int i = 0; i < size; i++) s.adjoint[i] = 0;
      task.dg[at] = 0;
      continue;
    }
    const Real decay = std::exp(c.g[at]);
    for (int i = 0; i < size; i++) s.adjoint[i] *= decay;
    task.dg[at] = dotProduct(s.chunkStates + t % mesaChunk * size, s.adjoint, size);
  }
  if (task.dh0 != nullptr) storeMesaState(s.adjoint, s.Kp, c, task.dh0 + head.stateOffset());
}

// Each head of a call, in the two types.
#define LONGSCAN_MESA_HEADS(name, Task, perHead)                                   \
  void name(const Task<float>& task, int64_t begin, int64_t end, void* scratch) {  \
    MesaScratch<float> s(scratch, task.call.K, task.call.V);                       \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }                                                                                \
  void name(const Task<double>& task, int64_t begin, int64_t end, void* scratch) { \
    MesaScratch<double> s(scratch, task.call.K, task.call.V);                      \
    for (int64_t i = begin; i < end; i++) perHead(task, i, s);                     \
  }
LONGSCAN_MESA_HEADS(mesaQueryGrad, MesaQueryGrad, queryGradMesaHead)
LONGSCAN_MESA_HEADS(mesaKeyValueGrad, MesaKeyValueGrad, keyValueGradMesaHead)
#undef LONGSCAN_MESA_HEADS

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
