#include "cpu_state.h"

// Forward: the sweep over a slice.

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
static void forwardMesaHead(const MesaForward<Real>& task, int64_t index, MesaScratch<Real>& s) {
  const Mesa<Real>& c = task.call;
  const MesaHead<Real> head(c, index);
  loadMesaState(task.h0 == nullptr ? nullptr : task.h0 + head.stateOffset(), c, s.state, s.Kp);
  double logDecay = 0;
  for (int64_t t = 0; t < c.T; t++) {
    const int64_t at = head.at(t);
    logDecay += c.g[at];
    writeToken(head, t, s, s.state, s.state);
    if (task.o == nullptr) continue;
    factorSystem(head, s);
    loadVector(c.q + at * c.K, c.K, s.x, s.Kp);
    solveCholesky(s.system, s.Kp, s.x);
    for (int x = 0; x < c.K; x++) task.x[at * c.K + x] = s.x[x];
    for (int y = 0; y < c.V; y++) task.o[at * c.V + y] = dotProduct(s.state + (c.K + y) * s.Kp, s.x, s.Kp);
  }
  if (task.state != nullptr) storeMesaState(s.state, s.Kp, c, task.state + head.stateOffset());
  if (task.factor != nullptr) task.factor[index] = static_cast<Real>(std::exp(logDecay));
}

template <typename Real>
static void forwardMesaHeads(const MesaForward<Real>& task, int64_t begin, int64_t end, void* scratch) {
  MesaScratch<Real> s(scratch, task.call.K, task.call.V);
  for (int64_t i = begin; i < end; i++) forwardMesaHead(task, i, s);
}

void mesaForward(const MesaForward<float>& task, int64_t begin, int64_t end, void* scratch) {
  forwardMesaHeads(task, begin, end, scratch);
}
void mesaForward(const MesaForward<double>& task, int64_t begin, int64_t end, void* scratch) {
  forwardMesaHeads(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
