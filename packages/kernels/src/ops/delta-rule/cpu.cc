#include "cpu_products.h"

// Forward: one sweep over a slice, for the outputs or for what the slice does to a state.

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
static void deltaForwardHead(const DeltaRuleForward<Real>& task, int64_t index, DeltaScratch<Real>& s) {
  const DeltaRule<Real>& c = task.call;
  const DeltaHead<Real> head(c, index);
  const int64_t stateSize = static_cast<int64_t>(c.K) * c.V;
  fillZero(s.state, s.Kp * s.W);
  loadDeltaState(head, task.h0, s.state, s.W);
  // M is what becomes of the identity, so it rides along as K more columns that no value is written to.
  if (task.factor != nullptr) {
    for (int x = 0; x < c.K; x++) s.state[x * s.W + s.Vp + x] = 1;
  }
  const bool readsKeys = task.o != nullptr && c.read == DeltaRead::key;
  for (int64_t r = 0; r < head.numRows();) {
    const Tile tile = head.tiles.at(r);
    if (tile.reset) fillZero(s.state, s.Kp * s.W);
    if (task.checkpoints != nullptr && r % deltaChunk == 0) {
      Real* to = task.checkpoints + (index * head.numChunks() + r / deltaChunk) * stateSize;
      for (int x = 0; x < c.K; x++) {
        for (int y = 0; y < c.V; y++) to[x * c.V + y] = s.state[x * s.W + y];
      }
    }
    loadDeltaTile(head, tile, s);
    if (readsKeys) head.loadReads(c.q, tile, c.K, s.keyQuery, s.Kp);
    deltaScores(c, readsKeys, s);
    deltaValues(c, s.state, s);
    if (readsKeys) {
      readByKey(c, s.state, s, s.valueQuery);
      head.storeReads(s.valueQuery, s.Vp, tile, c.V, task.o);
    } else if (task.o != nullptr) {
      head.loadReads(c.q, tile, c.V, s.valueQuery, s.Vp);
      readByValue(c, s.state, s, s.keyQuery);
      head.storeReads(s.keyQuery, s.Kp, tile, c.K, task.o);
    }
    advanceState(s, s.state);
    r += tile.numTokens;
  }
  if (task.state != nullptr) storeDeltaState(head, s.state, s.W, task.state);
  if (task.factor != nullptr) {
    Real* to = task.factor + index * c.K * c.K;
    for (int row = 0; row < c.K; row++) {
      for (int x = 0; x < c.K; x++) to[row * c.K + x] = s.state[x * s.W + s.Vp + row];
    }
  }
}

template <typename Real>
static void deltaForwardHeads(const DeltaRuleForward<Real>& task, int64_t begin, int64_t end, void* scratch) {
  DeltaScratch<Real> s(scratch, task.call, task.factor != nullptr);
  for (int64_t i = begin; i < end; i++) deltaForwardHead(task, i, s);
}

void deltaRuleForward(const DeltaRuleForward<float>& task, int64_t begin, int64_t end, void* scratch) {
  deltaForwardHeads(task, begin, end, scratch);
}
void deltaRuleForward(const DeltaRuleForward<double>& task, int64_t begin, int64_t end, void* scratch) {
  deltaForwardHeads(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
