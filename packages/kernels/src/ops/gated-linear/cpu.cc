#include "cpu_tile.h"

// Forward: the sweep over a slice, and the correction by an incoming state.

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
static void forwardHead(const GatedLinearForward<Real>& task, int64_t index, Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  const Head<Real> head(c, index);
  const int Kp = s.Kp, Vp = s.Vp;
  const int64_t stateSize = static_cast<int64_t>(c.K) * c.V;
  loadState(task.h0 == nullptr ? nullptr : task.h0 + index * stateSize, c.K, c.V, s.state, Kp, Vp);
  for (int x = 0; x < Kp; x++) s.logRunning[x] = 0;
  bool anyReset = false;
  for (int64_t t = 0; t < c.T;) {
    const Tile tile = head.tileAt(t);
    const int n = tile.numTokens;
    if (tile.reset) {
      anyReset = true;
      for (int x = 0; x < Kp * Vp; x++) s.state[x] = 0;
    }
    loadRows(c.q + head.keyOffset + t * head.keyStride, head.keyStride, n, c.K, s.q, Kp);
    loadRows(c.k + head.keyOffset + t * head.keyStride, head.keyStride, n, c.K, s.k, Kp);
    loadRows(c.v + head.valueOffset + t * head.valueStride, head.valueStride, n, c.V, s.v, Vp);
    loadDecays(head, tile, s);
    computeScores(c, s);
    multiply<Real, Old::drop>(L, Vp, L, s.scores, L, 1, s.v, Vp, s.o, Vp);
    scaleRows(c, s.q, s.prefix, c.scale, Kp, s.queryRows);
    multiply<Real, Old::add>(L, Vp, c.K, s.queryRows, Kp, 1, s.state, Vp, s.o, Vp);
    storeRows(s.o, Vp, n, c.V, task.o + head.valueOffset + t * head.valueStride, head.valueStride);
    scaleRows(c, s.k, s.suffix, Real(1), Kp, s.keyRows);
    multiply<Real, Old::scaleRows>(Kp, Vp, L, s.keyRows, 1, Kp, s.v, Vp, s.state, Vp, s.total);
    for (int x = 0; x < Kp; x++) s.logRunning[x] += s.logTotal[x];
    t += n;
  }
  storeState(s.state, Vp, c.K, c.V, task.state + index * stateSize);
  if (task.factor != nullptr) {
    const int count = c.decay == Decay::diagonal ? c.K : 1;
    for (int x = 0; x < count; x++)
      task.factor[index * count + x] = static_cast<Real>(std::exp(s.logRunning[x]));
  }
  if (task.reset != nullptr && head.h == 0) task.reset[head.b] = anyReset ? 1 : 0;
}

template <typename Real>
static void correctHead(const GatedLinearCorrect<Real>& task, int64_t index, Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  const Head<Real> head(c, index);
  const int Kp = s.Kp, Vp = s.Vp;
  loadState(task.h0 + index * static_cast<int64_t>(c.K) * c.V, c.K, c.V, s.state, Kp, Vp);
  for (int x = 0; x < Kp; x++) s.running[x] = 1, s.logRunning[x] = 0;
  const int64_t end = head.firstReset();
  for (int64_t t = 0; t < end;) {
    const Tile tile = head.tileAt(t);
    loadRows(c.q + head.keyOffset + t * head.keyStride, head.keyStride, tile.numTokens, c.K, s.q, Kp);
    loadDecays(head, tile, s);
    scaleRows(c, s.q, s.prefix, c.scale, Kp, s.queryRows);
    for (int i = 0; i < L; i++) {
      for (int x = 0; x < Kp; x++) s.queryRows[i * Kp + x] *= s.running[x];
    }
    Real* o = task.o + head.valueOffset + t * head.valueStride;
    loadRows(o, head.valueStride, tile.numTokens, c.V, s.o, Vp);
    multiply<Real, Old::add>(L, Vp, c.K, s.queryRows, Kp, 1, s.state, Vp, s.o, Vp);
    storeRows(s.o, Vp, tile.numTokens, c.V, o, head.valueStride);
    bool reaches = false;
    for (int x = 0; x < c.K; x++) {
      s.logRunning[x] += s.logTotal[x];
      s.running[x] = static_cast<Real>(std::exp(s.logRunning[x]));
      reaches = reaches || s.running[x] != 0;
    }
    // Once every decay has underflowed to an exact zero the incoming state adds exact zeros.
    if (!reaches) return;
    t += tile.numTokens;
  }
}

template <typename Real>
static void forwardHeads(const GatedLinearForward<Real>& task, int64_t begin, int64_t end, void* scratch) {
  Scratch<Real> s(scratch, task.call.K, task.call.V);
  for (int64_t i = begin; i < end; i++) forwardHead(task, i, s);
}

template <typename Real>
static void correctHeads(const GatedLinearCorrect<Real>& task, int64_t begin, int64_t end, void* scratch) {
  Scratch<Real> s(scratch, task.call.K, task.call.V);
  for (int64_t i = begin; i < end; i++) correctHead(task, i, s);
}

void gatedLinearForward(const GatedLinearForward<float>& task, int64_t begin, int64_t end, void* scratch) {
  forwardHeads(task, begin, end, scratch);
}
void gatedLinearForward(const GatedLinearForward<double>& task, int64_t begin, int64_t end, void* scratch) {
  forwardHeads(task, begin, end, scratch);
}
void gatedLinearCorrect(const GatedLinearCorrect<float>& task, int64_t begin, int64_t end, void* scratch) {
  correctHeads(task, begin, end, scratch);
}
void gatedLinearCorrect(const GatedLinearCorrect<double>& task, int64_t begin, int64_t end, void* scratch) {
  correctHeads(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
