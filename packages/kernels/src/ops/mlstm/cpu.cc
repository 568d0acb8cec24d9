#include "cpu_tile.h"

// Forward: the sweep over a slice.

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename Real>
static void writeTokens(const MlstmHead<Real>& head, const Tile& tile, const MlstmTokens<Real>& tokens,
                        MlstmScratch<Real>& s) {
  const Mlstm<Real>& c = head.call;
  head.loadKeys(c.q, tile, s.q, s.Kp);
  scoreTokens(c.scale, s);
  multiply<Real, Old::drop>(L, s.Wp, L, s.scores, L, 1, s.v, s.Wp, s.y, s.Wp);
  weighRows(s.q, s.fromState, c.scale, s.Kp, s.weighted);
  multiply<Real, Old::add>(L, s.Wp, c.K, s.weighted, s.Kp, 1, s.state, s.Wp, s.y, s.Wp);
  for (int i = 0; i < tile.numTokens; i++) {
    const int64_t at = head.at(tile.token + i);
    const Real sum = s.y[i * s.Wp + c.V], size = std::fabs(sum), least = std::exp(-s.m[i]);
    const Real inverse = 1 / (size > least ? size : least);
    for (int y = 0; y < c.V; y++) tokens.h[at * c.V + y] = s.y[i * s.Wp + y] * inverse;
    tokens.normalizer[at] = sum;
    tokens.m[at] = s.m[i];
  }
}

template <typename Real>
static void forwardMlstmHead(const MlstmForward<Real>& task, int64_t index, MlstmScratch<Real>& s) {
  const Mlstm<Real>& c = task.call;
  const MlstmHead<Real> head(c, index);
  const DocumentTiles tiles = head.tiles();
  const Real* h0 = task.h0 == nullptr ? nullptr : task.h0 + head.stateOffset();
  const int64_t numChunks = (c.T + mlstmChunk - 1) / mlstmChunk;
  Real m = maxOfState(h0, c.K);
  loadMlstmState(h0, c.K, c.V, s.state, s.Kp, s.Wp);
  double logForget = 0;
  for (int64_t t = 0; t < c.T;) {
    const Tile tile = tiles.at(t);
    if (task.checkpoints != nullptr && t % mlstmChunk == 0) {
      Real* to = task.checkpoints + (index * numChunks + t / mlstmChunk) * c.K * (c.V + 1);
      for (int x = 0; x < c.K; x++) {
        for (int y = 0; y <= c.V; y++) to[x * (c.V + 1) + y] = s.state[x * s.Wp + y];
      }
    }
    if (tile.reset) {
      m = -INFINITY;
      for (int x = 0; x < s.Kp * s.Wp; x++) s.state[x] = 0;
    }
    weighTile(head, tile, m, s);
    head.loadKeys(c.k, tile, s.k, s.Kp);
    head.loadValues(tile, s.v, s.Wp);
    if (task.tokens.h != nullptr) writeTokens(head, tile, task.tokens, s);
    storeTokens(tile, s, s.state);
    for (int i = 0; i < tile.numTokens; i++) logForget += c.logForget[head.at(t + i)];
    m = s.m[tile.numTokens - 1];
    t += tile.numTokens;
  }
  if (task.state != nullptr) storeMlstmState(s.state, s.Wp, c.K, c.V, m, task.state + head.stateOffset());
  if (task.factor != nullptr) task.factor[index] = static_cast<Real>(logForget);
}

template <typename Real>
static void forwardMlstmHeads(const MlstmForward<Real>& task, int64_t begin, int64_t end, void* scratch) {
  MlstmScratch<Real> s(scratch, task.call.K, task.call.V);
  for (int64_t i = begin; i < end; i++) forwardMlstmHead(task, i, s);
}

void mlstmForward(const MlstmForward<float>& task, int64_t begin, int64_t end, void* scratch) {
  forwardMlstmHeads(task, begin, end, scratch);
}
void mlstmForward(const MlstmForward<double>& task, int64_t begin, int64_t end, void* scratch) {
  forwardMlstmHeads(task, begin, end, scratch);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
