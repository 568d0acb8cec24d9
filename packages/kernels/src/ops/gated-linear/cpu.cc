#include "cpu_pairs.h"

// The sweep over a slice forward in time, and the correction of what it read by an incoming state.

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
static inline void storeCheckpoint(const Scratch<Real>& s, int K, int V, Real* to) {
  for (int x = 0; x < K; x++) {
    for (int y = 0; y < V; y++) to[x * V + y] = s.state[x * s.Vp + y];
  }
}

template <Axis axis, typename Real>
static void sweepAlong(const GatedLinearSweep<Real>& task, int64_t index, Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  const Head<Real> head(c, index);
  const int Kp = s.Kp, Vp = s.Vp;
  const int64_t stateSize = static_cast<int64_t>(c.K) * c.V;
  const int64_t numChunks = (c.T + decayChunk - 1) / decayChunk;
  loadState(task.h0 == nullptr ? nullptr : task.h0 + index * stateSize, c.K, c.V, s.state, Kp, Vp);
  head.loadBonus(s.bonus);
  for (int x = 0; x < Kp; x++) s.logRunning[x] = 0;
  bool anyReset = false;
  for (int64_t t = 0; t < c.T;) {
    const Tile tile = head.tiles().at(t);
    if (tile.reset) {
      anyReset = true;
      for (int x = 0; x < Kp * Vp; x++) s.state[x] = 0;
    }
    head.keys.load(c.k, tile, s.k);
    head.values.load(c.v, tile, s.v);
    loadDecays(head, tile, s);
    if (axis == Axis::key) {
      head.keys.load(task.reader, tile, s.q);
      readWithKeys(c, s);
      head.values.store(s.o, tile, task.out);
    } else {
      head.values.load(task.reader, tile, s.o);
      readWithValues(c, s);
      head.channels.store(s.queryRows, tile, task.out);
    }
    scaleRows(c, s.k, s.suffix, Real(1), Kp, s.keyRows);
    multiply<Real, Old::scaleRows>(Kp, Vp, L, s.keyRows, 1, Kp, s.v, Vp, s.state, Vp, s.total);
    for (int x = 0; x < Kp; x++) s.logRunning[x] += s.logTotal[x];
    t += tile.numTokens;
    if (task.checkpoints != nullptr && (t % decayChunk == 0 || t == c.T)) {
      const int64_t chunk = index * numChunks + (t - 1) / decayChunk;
      storeCheckpoint(s, c.K, c.V, task.checkpoints + chunk * stateSize);
    }
  }
  if (task.state != nullptr) storeState(s.state, Vp, c.K, c.V, task.state + index * stateSize);
  if (task.factor != nullptr) {
    const int count = c.decay == Decay::diagonal ? c.K : 1;
    for (int x = 0; x < count; x++)
      task.factor[index * count + x] = static_cast<Real>(std::exp(s.logRunning[x]));
  }
  if (task.reset != nullptr && head.h == 0) task.reset[head.b] = anyReset ? 1 : 0;
}

template <typename Real>
static void sweepHead(const GatedLinearSweep<Real>& task, int64_t index, Scratch<Real>& s) {
  if (task.axis == Axis::key) {
    sweepAlong<Axis::key>(task, index, s);
  } else {
    sweepAlong<Axis::value>(task, index, s);
  }
}

/// One tile of a correction: `moved` [L, Kp] is the decay from the slice's start up to what each token reads.
template <typename Real>
static inline void correctTile(const GatedLinearCorrect<Real>& task, const Head<Real>& head, const Tile& tile,
                               Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  if (task.axis == Axis::key) {
    head.keys.load(task.reader, tile, s.q);
    head.values.load(task.out, tile, s.o);
    for (int x = 0; x < L * s.Kp; x++) s.queryRows[x] = s.q[x] * s.moved[x];
    multiply<Real, Old::add>(L, s.Vp, c.K, s.queryRows, s.Kp, 1, s.state, s.Vp, s.o, s.Vp);
    head.values.store(s.o, tile, task.out);
    return;
  }
  head.values.load(task.reader, tile, s.o);
  head.channels.load(task.out, tile, s.queryRows);
  transposeRows(s.o, s.Vp, s.transposed);
  multiply<Real, Old::drop>(s.Kp, L, c.V, s.state, s.Vp, 1, s.transposed, L, s.product, L);
  for (int i = 0; i < L; i++) {
    for (int x = 0; x < s.Kp; x++) {
      s.queryRows[i * s.Kp + x] += s.product[x * L + i] * s.moved[i * s.Kp + x];
    }
  }
  head.channels.store(s.queryRows, tile, task.out);
}

template <typename Real>
static void correctHead(const GatedLinearCorrect<Real>& task, int64_t index, Scratch<Real>& s) {
  const GatedLinear<Real>& c = task.call;
  const Head<Real> head(c, index);
  const int Kp = s.Kp;
  loadState(task.h0 + index * static_cast<int64_t>(c.K) * c.V, c.K, c.V, s.state, Kp, s.Vp);
  for (int x = 0; x < Kp; x++) s.running[x] = 1, s.logRunning[x] = 0;
  const int64_t end = head.tiles().firstReset();
  for (int64_t t = 0; t < end;) {
    const Tile tile = head.tiles().at(t);
    loadDecays(head, tile, s);
    for (int i = 0; i < L; i++) {
      for (int x = 0; x < Kp; x++) s.moved[i * Kp + x] = s.running[x];
    }
    scaleRows(c, s.moved, s.prefix, c.scale, Kp, s.moved);
    correctTile(task, head, tile, s);
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

LONGSCAN_HEADS(gatedLinearSweep, GatedLinearSweep, sweepHead)
LONGSCAN_HEADS(gatedLinearCorrect, GatedLinearCorrect, correctHead)

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
