#pragma once

#include "../segments/store_rows.cuh"
#include "frame.cuh"

namespace longscan {

/// The warps that compute, a piece of a chunk after the other, from the segment's end to its start. A
/// warpgroup has D^T for 64 values in the accumulators of its products, dv for the same values, and dq and dk
/// for every `warpgroups`-th 64 keys.
template <int DK, int DV>
class Reverse : ReverseFrame<DK, DV> {
  using Frame = ReverseFrame<DK, DV>;
  using Layout = typename Frame::Layout;
  using Frame::adjointRead;
  using Frame::b;
  using Frame::bh;
  using Frame::call;
  using Frame::dO;
  using Frame::emptied;
  using Frame::enteringAt;
  using Frame::filled;
  using Frame::h;
  using Frame::K;
  using Frame::meetsState;
  using Frame::pieceOf;
  using Frame::Q;
  using Frame::scoresRead;
  using Frame::segment;
  using Frame::smallOf;
  using Frame::startScores;
  using Frame::stateAt;
  using Frame::stateEmptied;
  using Frame::stateFilled;
  using Frame::stateTile;
  using Frame::threads;
  using Frame::V;
  using Frame::warpgroups;
  static constexpr int keyPanels = Layout::keyPanels, valuePanels = Layout::valuePanels;

  const Lane at;
  HeldState<DK> D;
  int round = 0, states = 0;

 public:
  __device__ explicit Reverse(const Frame& frame) : Frame(frame), D(at, at.warpgroup) {}

  __device__ void compute() {
    enter();
    for (bool more = true; more; round++) {
      const int stage = round % reverseStages;
      awaitArrivals(filled(stage), round / reverseStages);
      publishToProducts();
      const Piece piece = unpackPiece(*pieceOf(stage));
      more = !piece.closesWalk;
      read(piece, stage);
    }
    leave();
  }

 private:
  __device__ Tile<64> adjointOf(int valuePanel, int keyPanel) const {
    return stateTile(Layout::adjoint, valuePanel, keyPanel);
  }
  __device__ Tile<64> stateOf(int valuePanel, int keyPanel) const {
    return stateTile(Layout::state, valuePanel, keyPanel);
  }
  /// Scores, decayed: dO V^T, and Q K^T.
  __device__ Tile<64> laterValues() const { return this->scoreTile(0); }
  __device__ Tile<64> laterKeys() const { return this->scoreTile(1); }

  __device__ void joinWarpgroup() const { joinBarrier(1 + at.warpgroup, 128); }

  __device__ void publish() const {
    D.publish(adjointOf(at.warpgroup, 0));
    joinWarpgroup();
  }

  __device__ void enter() {
    D.load(call.adjoints + enteringAt(), call.V, call.K);
    publish();
  }

  __device__ void leave() {
    if (call.dh0 == nullptr || segment != 0) return;
    D.store(call.dh0 + stateAt(bh), call.V, call.K, call.scale);
  }

  /// sum = rows of `a`, DV wide, times a panel of a state, in the background.
  __device__ static void multiplyState(Sums& sum, Tile<64> a, Tile<64> state) {
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4 * valuePanels; k++) {
      const Tile<64> left{a.base + k / 4 * Layout::panel};
      const Tile<64> right{state.base + k / 4 * keyPanels * Layout::panel};
      if (k == 0)
        multiply<StoredB::columns, false>(sum, left, k, right, k);
      else
        multiply<StoredB::columns>(sum, left, k % 4, right, k % 4);
    }
    commitProducts();
  }

  __device__ void storeScores(Sums& sum, const RowDecays& rows, Tile<64> to) const {
    decayScores(sum, rows, at);
#pragma unroll
    for (int k = 0; k < 4; k++) storeOperandA(to, at.row0, k, operandA(sum, k), at.lane);
  }

  /// This thread's shares of the products of its two rows with those of a tile.
  __device__ float2 dotRows(const Sums& sum, Tile<64> tile) const {
    float2 share = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const MmaA other = loadA(tile, at.row0, 16 * k, at.lane);
      const float *left = sum[2 * k], *right = sum[2 * k + 1];
      share.x += left[0] * lowHalf(other.x[0]) + left[1] * highHalf(other.x[0]);
      share.y += left[2] * lowHalf(other.x[1]) + left[3] * highHalf(other.x[1]);
      share.x += right[0] * lowHalf(other.x[2]) + right[1] * highHalf(other.x[2]);
      share.y += right[2] * lowHalf(other.x[3]) + right[3] * highHalf(other.x[3]);
    }
    return share;
  }

  /// This thread's share of the sum of S D, element by element.
  __device__ float multiplyStates() const {
    float sum = 0.0f;
#pragma unroll
    for (int p = 0; p < keyPanels; p++) {
      const float2 share = dotRows(D.P[p], stateOf(at.warpgroup, p));
      sum += share.x + share.y;
    }
    return sum;
  }

  /// 64 channels from `channel` on of `channels`.
  __device__ void store(const Sums& sum, __nv_bfloat16* out, int pitch, int channels, int channel,
                        const Piece& piece) const {
    const int64_t first = b * call.T + static_cast<int64_t>(piece.chunk) * chunkTokens;
    const int row = at.row0 + at.group;
    const auto exists = [&](int offset) { return offset >= piece.low && offset < piece.high; };
    storeRows<transposeQuad>(sum, out + first * pitch + h * channels + channel, row * pitch, 8 * pitch,
                             exists(row), exists(row + 8), channels - channel, call.scale, at);
  }

  /// The products of later with earlier tokens, decayed, of both kinds; meanwhile dv = K D^T starts.
  __device__ void startPiece(Sums& valueGradient, int stage, const RowDecays& rows) {
    const bool ofValues = warpgroups == 2 && at.warpgroup == 0;
    Sums products;
    if (warpgroups == 1) {
      startScores(products, stage, true);
      waitForProducts<0>();
      if (round > 0) awaitArrivals(scoresRead(), round - 1);
      storeScores(products, rows, laterValues());
    }
    startScores(products, stage, ofValues);
    startRows<keyPanels>(valueGradient, K(stage, 0), adjointOf(at.warpgroup, 0));
    waitForProducts<1>();
    if (warpgroups > 1 && round > 0) awaitArrivals(scoresRead(), round - 1);
    storeScores(products, rows, ofValues ? laterValues() : laterKeys());
    publishToProducts();
    // The other warpgroup's share of D is published by then, too.
    joinBarrier(3, threads);
    waitForProducts<0>();
  }

  /// D = gamma D + sum_t e^{c_t} q_t dO_t^T, in the background.
  __device__ void update(int stage, const RowDecays& rows) {
    MmaA z[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
      z[k] = loadScaled(dO(stage, at.warpgroup), k, rows.any, at,
                        [&](int token) { return rows.pairUpTo(token); });
    if (rows.any) D.scale(exp2Approx(rows.total));
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int p = 0; p < keyPanels; p++) multiply<StoredB::columns>(D.P[p], z[k], Q(stage, p), k);
    commitProducts();
  }

  /// The gradients of one piece, and D before it.
  __device__ void read(const Piece& piece, int stage) {
    const bool differentiates = call.dg != nullptr, meets = meetsState(piece), goesOn = piece.opensChunk;
    const uint32_t sums = smallOf(stage);
    const bool decays = call.g != nullptr;
    const RowDecays rows{sums, decays ? loadSharedFloat(sums + 4 * 63) : 0.0f, decays};
    const int row = at.row0 + at.group;
    float2 dots = make_float2(0.0f, 0.0f);
    float end = 0.0f;

    Sums out, other;
    startPiece(out, stage, rows);
    const float upper = decays ? rows.after(row) : 1.0f, lower = decays ? rows.after(row + 8) : 1.0f;
    if (decays) scaleRows(out, upper, lower);
    beginProducts();
    addScored<StoredB::columns>(out, laterKeys(), dO(stage, at.warpgroup));
    commitProducts();

    constexpr int ownPanels = (keyPanels + warpgroups - 1) / warpgroups;
#pragma unroll
    for (int p = 0; p < ownPanels; p++) {
      const bool last = p + 1 == ownPanels;
      // With fewer panels than warpgroups some compute the same, and one has it.
      const bool owns = keyPanels % warpgroups == 0 || at.warpgroup < keyPanels;
      const int panel = owns ? p * warpgroups + at.warpgroup : 0;
      multiplyState(other, V(stage, 0), adjointOf(0, panel));
      if (p == 0) {
        waitForProducts<1>();
        store(out, call.dv, call.valuePitch, call.V, 64 * at.warpgroup, piece);
      }
      waitForProducts<0>();
      if (last) arriveOfWarp(adjointRead());
      if (decays) scaleRows(other, upper, lower);
      if (differentiates && goesOn && owns) {
        const float2 behind = dotRows(other, K(stage, panel));
        end += behind.x + behind.y;
      }
      beginProducts();
      addScored<StoredB::columns>(other, laterValues(), Q(stage, panel));
      commitProducts();
      if (meets) {
        if (p == 0) awaitArrivals(stateFilled(), states);
        multiplyState(out, dO(stage, 0), stateOf(0, panel));
        if (p == 0 && differentiates && goesOn) end += exp2Approx(rows.total) * multiplyStates();
        waitForProducts<1>();
      } else {
        clear(out);
        waitForProducts<0>();
      }
      if (owns) {
        if (differentiates) {
          const float2 share = dotRows(other, K(stage, panel));
          dots.x -= share.x;
          dots.y -= share.y;
        }
        store(other, call.dk, call.keyPitch, call.K, 64 * panel, piece);
      }
      waitForProducts<0>();
      if (last && meets) {
        arriveOfWarp(stateEmptied());
        states++;
      }
      if (meets && decays) scaleRows(out, rows.upTo(row), rows.upTo(row + 8));
      beginProducts();
      addScored<StoredB::rows>(out, laterValues(), K(stage, panel));
      commitProducts();
      if (last) {
        update(stage, rows);
        waitForProducts<1>();
        arriveOfWarp(scoresRead());
      } else {
        waitForProducts<0>();
      }
      if (owns) {
        if (differentiates) {
          const float2 share = dotRows(out, Q(stage, panel));
          dots.x += share.x;
          dots.y += share.y;
        }
        if (!last) store(out, call.dq, call.keyPitch, call.K, 64 * panel, piece);
      }
    }
    if (differentiates) storeShares(dots, end, stage);
    waitForProducts<0>();
    arriveOfWarp(emptied(stage));
    if (piece.fresh) D.clear();
    awaitArrivals(adjointRead(), round);
    publish();
    // After that: what publishes D would wait until outputs have arrived.
    constexpr int lastPanel = (ownPanels - 1) * warpgroups;
    if (keyPanels % warpgroups == 0)
      store(out, call.dq, call.keyPitch, call.K, 64 * (lastPanel + at.warpgroup), piece);
    else if (at.warpgroup < keyPanels)
      store(out, call.dq, call.keyPitch, call.K, 0, piece);
  }

  /// For the warp that writes the decay's gradient.
  __device__ void storeShares(float2 dots, float end, int stage) const {
#pragma unroll
    for (int distance = 1; distance < 4; distance *= 2) {
      dots.x += __shfl_xor_sync(~0u, dots.x, distance);
      dots.y += __shfl_xor_sync(~0u, dots.y, distance);
    }
    end = sumOverWarp(end);
    const uint32_t to = smallOf(stage) + Layout::dots + 256 * at.warpgroup + 4 * (at.row0 + at.group);
    if (at.pairOf == 0) {
      storeShared(to, dots.x);
      storeShared(to + 32, dots.y);
    }
    if (at.lane == 0) storeShared(smallOf(stage) + Layout::ends + 4 * (4 * at.warpgroup + at.row0 / 16), end);
  }
};

}  // namespace longscan
