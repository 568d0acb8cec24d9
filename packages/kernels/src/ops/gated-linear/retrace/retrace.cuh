#pragma once

#include "../segments/store_rows.cuh"
#include "frame.cuh"

#if LONGSCAN_WGMMA

namespace longscan {

/// The warps that compute, a chunk after the other from the segment's end to its start. A warpgroup has D^T
/// or S^T for 64 values in the accumulators of its products. With D it makes dv for these values, and dk for
/// every `warpgroups`-th 64 keys; with S the scores, and dq for the same keys.
template <int DK, int DV>
class Retrace : RetraceFrame<DK, DV> {
  using Frame = RetraceFrame<DK, DV>;
  using Layout = typename Frame::Layout;
  using Frame::b;
  using Frame::bh;
  using Frame::call;
  using Frame::dO;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::enteringAt;
  using Frame::filled;
  using Frame::firstChunk;
  using Frame::h;
  using Frame::K;
  using Frame::published;
  using Frame::Q;
  using Frame::scored;
  using Frame::segment;
  using Frame::startScores;
  using Frame::stateAt;
  using Frame::V;
  using Frame::warpgroups;
  static constexpr int keyPanels = Layout::keyPanels, valuePanels = Layout::valuePanels;
  static_assert(keyPanels % warpgroups == 0, "each warpgroup has as many keys");
  static constexpr int ownPanels = keyPanels / warpgroups;
  enum Which { adjoint, state };

  const Lane at;
  const int own;  // which 64 values
  HeldState<DK> P;

 public:
  __device__ explicit Retrace(const Frame& frame)
      : Frame(frame), own(at.warpgroup % warpgroups), P(at, own) {}

  __device__ void compute() {
    if (at.warpgroup < warpgroups)
      followAdjoint();
    else
      followState();
  }

 private:
  __device__ Tile<64> stored(Which which, int valuePanel, int keyPanel) const {
    return this->stateTile(which == state ? Layout::state : Layout::adjoint, valuePanel, keyPanel);
  }
  /// Products of later with earlier tokens' values, and of queries with earlier keys.
  __device__ Tile<64> valueScores(int stage) const { return this->scoreTile(2 * stage); }
  __device__ Tile<64> keyScores(int stage) const { return this->scoreTile(2 * stage + 1); }

  /// P for products, when round `round`'s predecessor has been read by all.
  __device__ void publish(Which which, int round) const {
    if (round > 0) awaitArrivals(Frame::read(which), round - 1);
    P.publish(stored(which, own, 0));
    arriveOfWarp(published(which));
  }

  /// sum = rows of `a`, DV wide, times 64 keys of D or S. A loop: all its operands at once would be kept from
  /// chunk to chunk in registers, of which there are none to spare.
  __device__ static void multiplyState(Sums& sum, Tile<64> a, Tile<64> ofKeys) {
    multiplyTiles<StoredB::columns, false>(sum, rowsOperand(a.base, 0, Layout::panel),
                                           productOperand<StoredB::columns>(ofKeys.base, 0));
#pragma unroll 1
    for (int k = 1; k < 4 * valuePanels; k++) {
      const Tile<64> right{ofKeys.base + k / 4 * keyPanels * Layout::panel};
      multiplyTiles<StoredB::columns, true>(sum, rowsOperand(a.base, k, Layout::panel),
                                            productOperand<StoredB::columns>(right.base, k % 4));
    }
  }

  /// 64 channels from `channel` on of `channels`.
  __device__ void store(const Sums& sum, __nv_bfloat16* out, int pitch, int channels, int channel,
                        int chunk) const {
    const int64_t first = b * call.T + static_cast<int64_t>(chunk) * chunkTokens;
    const int row = at.row0 + at.group;
    const int rows = static_cast<int>(min((b + 1) * call.T - first, int64_t{chunkTokens}));
    storeRows<transposeQuadByMasks>(sum, out + first * pitch + h * channels + channel, row * pitch, 8 * pitch,
                                    row < rows, row + 8 < rows, channels - channel, call.scale, at);
  }

  /// D with what it makes: dv and dk.
  __device__ void followAdjoint() {
    const bool loads = at.warpgroup == 0 && at.row0 == 0;
    for (int stage = 0; loads && stage < retraceStages && endChunk - stage > firstChunk; stage++)
      Frame::fill(endChunk - 1 - stage, stage);
    P.load(call.adjoints + enteringAt(), call.V, call.K);
    publish(adjoint, 0);
    for (int chunk = endChunk - 1, round = 0; chunk >= firstChunk; chunk--, round++) {
      const int stage = round % retraceStages;
      awaitArrivals(filled(stage), round / retraceStages);
      awaitArrivals(published(adjoint), round);
      Sums out;
      startRows<keyPanels>(out, K(stage, 0), stored(adjoint, own, 0));
      awaitArrivals(scored(stage), round / retraceStages);
      beginProducts();
      addScored<StoredB::columns>(out, keyScores(stage), dO(stage, own));
      commitProducts();
      P.template addTokens<1>(dO(stage, own), Q(stage, 0));
      waitForProducts<1>();
      settle(out);
      store(out, call.dv, call.valuePitch, call.V, 64 * own, chunk);
#pragma unroll
      for (int i = 0; i < ownPanels; i++) {
        const int panel = i * warpgroups + own;
        beginProducts();
        multiplyState(out, V(stage, 0), stored(adjoint, 0, panel));
        addScored<StoredB::columns>(out, valueScores(stage), Q(stage, panel));
        commitProducts();
        waitForProducts<0>();
        settle(out);
        if (i + 1 == ownPanels) {
          arriveOfWarp(emptied(stage));
          arriveOfWarp(Frame::read(adjoint));
          P.settle();
          // Before outputs are stored: what publishes D would wait until they have arrived.
          if (chunk > firstChunk) publish(adjoint, round + 1);
          if (loads && chunk - retraceStages >= firstChunk) {
            awaitArrivals(emptied(stage), round / retraceStages);
            Frame::fill(chunk - retraceStages, stage);
          }
        }
        store(out, call.dk, call.keyPitch, call.K, 64 * panel, chunk);
      }
    }
    if (call.dh0 == nullptr || segment != 0) return;
    P.store(call.dh0 + stateAt(bh), call.V, call.K, call.scale);
  }

  /// S with what it makes: the scores, for all, and dq.
  __device__ void followState() {
    P.load(segment + 1 < call.numSegments ? call.states + enteringAt(1) : call.lastStates + stateAt(bh),
           call.V, call.K);
    int round = 0;
    for (int chunk = endChunk - 1; chunk > firstChunk; chunk--, round++) takeBack<true>(chunk, round);
    P.load(call.states + enteringAt(), call.V, call.K);
    takeBack<false>(firstChunk, round);
  }

  /// A chunk of it. S before the segment's first one is known.
  template <bool hasMore>
  __device__ void takeBack(int chunk, int round) {
    const int stage = round % retraceStages;
    awaitArrivals(filled(stage), round / retraceStages);
    Sums out;
    startScores(out, stage, own == 0);
    if (hasMore) P.template addTokens<-1>(V(stage, own), K(stage, 0));
    waitForProducts<hasMore ? 1 : 0>();
    storeScores(out, own == 0 ? valueScores(stage) : keyScores(stage));
    if (warpgroups == 1) {
      startScores(out, stage, false);
      waitForProducts<0>();
      storeScores(out, keyScores(stage));
    }
    publishToProducts();
    arriveOfWarp(scored(stage));
    waitForProducts<0>();
    P.settle();
    publish(state, round);
    awaitArrivals(scored(stage), round / retraceStages);
    awaitArrivals(published(state), round);
#pragma unroll
    for (int i = 0; i < ownPanels; i++) {
      const int panel = i * warpgroups + own;
      beginProducts();
      multiplyState(out, dO(stage, 0), stored(state, 0, panel));
      addScored<StoredB::rows>(out, valueScores(stage), K(stage, panel));
      commitProducts();
      waitForProducts<0>();
      settle(out);
      if (i + 1 == ownPanels) {
        arriveOfWarp(emptied(stage));
        arriveOfWarp(Frame::read(state));
      }
      store(out, call.dq, call.keyPitch, call.K, 64 * panel, chunk);
    }
  }

  /// Scores with earlier tokens and themselves.
  __device__ void storeScores(Sums& sum, Tile<64> to) const {
    settle(sum);
    forgetLater(sum, at);
#pragma unroll
    for (int k = 0; k < 4; k++) storeOperandA(to, at.row0, k, operandA(sum, k), at.lane);
  }
};

}  // namespace longscan

#endif
