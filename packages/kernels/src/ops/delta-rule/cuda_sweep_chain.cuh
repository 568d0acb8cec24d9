#pragma once

#include "cuda_lane.cuh"
#include "cuda_sweep_layout.cuh"

namespace longscan {

/// The warpgroup that every chunk waits for. The state [K, 32] lies in the sums of its products, 64 channels
/// of K each; the next products read a rounded copy of it, transposed, in shared memory. Two products a piece
/// wait for each other, and everything else goes on under them.
template <int KN, DeltaRole role, bool diagonal>
class SweepChain {
  using Block = SweepBlock<KN, role, diagonal>;

  const Block& block;
  const DeltaSweepCall& call;
  const DeltaLane at;
  const int row0;
  NarrowSums state[KN];
  RingPlace operand, part;

 public:
  __device__ explicit SweepChain(const Block& block)
      : block(block), call(block.call), row0(16 * (at.warp % 4)) {}

  __device__ void run() {
    eachElement(Block::backward ? call.dht : call.h0,
                [](float& element, const float& incoming) { element = incoming; });
    if constexpr (Block::backward)
      runBack();
    else
      runForth();
    float* const outgoing = Block::output ? call.ht : Block::backward ? call.dh0 : nullptr;
    if (outgoing != nullptr) eachElement(outgoing, [](float& element, float& to) { to = element; });
  }

 private:
  /// S = gamma S + K^T (outOf N), N = U - W S.
  __device__ void runForth() {
    NarrowSums n;
    block.partFull(0).wait(0);
    SweepPiece piece = block.piece(0);
    if (piece.piece.fresh) forget();
    storeState(0);
    block.operandFull(0).wait(0);
    showState(0);
    loadValues(n, block.values(0));
    for (int i = 0;; i++) {
      const int shown = i & 1;
      const RingPlace w = operand, keys = next(operand, 1);
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          multiplyChannels<StoredB::rows, true>(n, block.operandTile(w.slot, panel),
                                                block.stateTile(shown, panel), k);
      commitProducts();
      decayState(piece.piece);
      const float near = outOf(0), far = outOf(8);
      block.operandFull(keys.slot).wait(keys.round);
      waitForProducts<0>();
      settle(n);

      NarrowSums written;
#pragma unroll
      for (int j = 0; j < 16; j++) written[j / 4][j % 4] = n[j / 4][j % 4] * (j % 4 < 2 ? near : far);
      storeTransposed(written, block.writtenTile());
      meet();
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          multiplyChannels<StoredB::columns>(state[panel], block.operandTile(keys.slot, panel),
                                             block.writtenTile(), k);
      commitProducts();
      storeTransposed(n, block.tokensTile(shown));
      publishToProducts();
      arriveAsWarp(block.tokensReady(shown));
      block.release(block.operandFree(w.slot));

      const RingPlace usedPart = part;
      const bool last = piece.last, forgets = piece.nextFresh;
      operand = next(operand, Block::Layout::operandsPerPiece);
      if (!last) {
        part = part.ahead(1, block.rings.parts);
        block.partFull(part.slot).wait(part.round);
        piece = block.piece(part.slot);
        loadValues(n, block.values(part.slot));
      }
      waitForProducts<0>();
#pragma unroll
      for (int panel = 0; panel < KN; panel++) settle(state[panel]);
      block.release(block.operandFree(keys.slot));
      block.release(block.partFree(usedPart.slot));
      if (last) break;
      if (forgets) forget();
      block.shownFree(shown ^ 1).wait(((i + 1) / 2 & 1) ^ 1);
      storeState(shown ^ 1);
      block.operandFull(operand.slot).wait(operand.round);
      showState(shown ^ 1);
    }
  }

  /// D = gamma D + Q^T (into dO) - W^T dN, dN = P^T dO + outOf K D. The state here is the adjoint.
  __device__ void runBack() {
    NarrowSums dn, ofOutput;
    block.partFull(0).wait(0);
    SweepPiece piece = block.piece(0);
    storeState(0);
    block.operandFull(0).wait(0);
    showState(0);
    readOutput(ofOutput);
    for (int i = 0;; i++) {
      const int shown = i & 1;
      const RingPlace keys = operand, queries = next(operand, 1), w = next(operand, 2);
      clear(dn);
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          multiplyChannels<StoredB::rows>(dn, block.operandTile(keys.slot, panel),
                                          block.stateTile(shown, panel), k);
      commitProducts();
      decayState(piece.piece);
      const float near = outOf(0), far = outOf(8);
      if (!diagonal) block.writesReady(part.slot).wait(part.round);
      block.operandFull(queries.slot).wait(queries.round);
      publishToProducts();
      const ValueTile writes = diagonal ? block.values(part.slot) : block.writes(part.slot);
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          multiplyValues(state[panel], block.operandTile(queries.slot, panel), writes, k);
      commitProducts();
      const RingPlace usedPart = part;
      const bool last = piece.last, forgets = piece.piece.fresh;
      if (!last) {
        part = part.ahead(1, block.rings.parts);
        block.partFull(part.slot).wait(part.round);
        piece = block.piece(part.slot);
      }
      block.operandFull(w.slot).wait(w.round);
      waitForProducts<1>();
      settle(dn);
      settle(ofOutput);

      scaleRows(dn, near, far);
#pragma unroll
      for (int j = 0; j < 16; j++) dn[j / 4][j % 4] += ofOutput[j / 4][j % 4];
      storeTransposed(dn, block.tokensTile(shown));
      meet();
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          multiplyChannels<StoredB::columns, true>(state[panel], block.operandTile(w.slot, panel),
                                                   block.tokensTile(shown), k);
      commitProducts();
      arriveAsWarp(block.tokensReady(shown));
      block.release(block.operandFree(keys.slot));
      operand = next(operand, Block::Layout::operandsPerPiece);
      readOutput(ofOutput);  // of the last piece once more, for nothing: a branch would make products wait
      waitForProducts<1>();
#pragma unroll
      for (int panel = 0; panel < KN; panel++) settle(state[panel]);
      block.release(block.operandFree(queries.slot));
      block.release(block.operandFree(w.slot));
      block.release(block.partFree(usedPart.slot));
      if (forgets) forget();
      if (last) break;
      block.shownFree(shown ^ 1).wait(((i + 1) / 2 & 1) ^ 1);
      storeState(shown ^ 1);
      block.operandFull(operand.slot).wait(operand.round);
      showState(shown ^ 1);
    }
    waitForProducts<0>();
  }

  /// Starts P^T dO of the piece at `part`, whose sums nothing before them waits for.
  __device__ void readOutput(NarrowSums& sum) const {
    clear(sum);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiplyValues(sum, block.scores(part.slot), block.values(part.slot), k);
    commitProducts();
  }

  __device__ RingPlace next(const RingPlace& place, int by) const {
    return place.ahead(by, block.rings.operands);
  }
  /// Of one of a thread's two rows.
  __device__ float outOf(int below) const {
    return block.outOf(part.slot)[row0 + at.group + below];
  }

  /// The chain's threads meet; what they wrote before, products read after it.
  __device__ void meet() const {
    publishToProducts();
    joinBarrier(1, 128);
  }

  __device__ void storeState(int shown) const {
#pragma unroll
    for (int panel = 0; panel < KN; panel++) storeTransposed(state[panel], block.stateTile(shown, panel));
  }
  __device__ void showState(int shown) const {
    meet();
    arriveAsWarp(block.stateReady(shown));
  }

  __device__ void forget() {
#pragma unroll
    for (int panel = 0; panel < KN; panel++) clear(state[panel]);
  }

  __device__ void decayState(const Piece& piece) {
    if constexpr (diagonal) {
      // `gamma` is that of the chunk's first piece. One with a document start meets no older state.
      const float* const gamma = block.gamma(part.slot) + row0 + at.group;
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
        scaleRows(state[panel], piece.fresh ? 1.0f : gamma[64 * panel],
                  piece.fresh ? 1.0f : gamma[64 * panel + 8]);
    } else {
      const float gamma = block.into(part.slot)[piece.high - 1];
#pragma unroll
      for (int panel = 0; panel < KN; panel++) scale(state[panel], gamma);
    }
  }

  /// visit(element, its place in a state [V, K]) for what the thread has of the state; zero where there is
  /// none.
  template <typename Place, typename Visit>
  __device__ void eachElement(Place* states, Visit&& visit) {
    if (states == nullptr) return forget();
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
#pragma unroll
      for (int i = 0; i < 16; i++) {
        float& element = state[panel][i / 4][i % 4];
        const int channel = 64 * panel + row0 + at.group + 8 * (i % 4 / 2);
        const int v = block.value + 8 * (i / 4) + at.pairOf + i % 2;
        if (channel < call.K && v < call.V)
          visit(element, states[(block.bh * call.V + v) * call.K + channel]);
        else
          element = 0.0f;
      }
  }
};

}  // namespace longscan
