#pragma once

#include "place.cuh"

namespace longscan {

/// The warpgroup that every chunk waits for. The state [K, 32] lies in the sums of its products, 64 channels
/// of K each; the next products read a rounded copy of it, transposed, in shared memory. Two products a piece
/// wait for each other, and everything else goes on under them.
template <int KN, SweepKind kind, bool diagonal>
class SweepChain : SweepPlace<SweepBlock<KN, kind, diagonal, narrowValues>> {
  using Block = SweepBlock<KN, kind, diagonal, narrowValues>;
  using Place = SweepPlace<Block>;
  using Place::at, Place::block, Place::call, Place::next, Place::operand, Place::part, Place::row0;

  /// A first operand [64, K] or its transpose: in registers, where there are enough of them, since products
  /// this narrow would otherwise wait for shared memory.
  struct Held {
    static constexpr bool inRegisters = KN <= 2;
    MmaA a[inRegisters ? KN : 1][4];

    /// What is in registers leaves its slot free.
    template <StoredB stored>
    __device__ void take(const Block& block, int slot) {
      if constexpr (inRegisters)
#pragma unroll
        for (int panel = 0; panel < KN; panel++)
#pragma unroll
          for (int k = 0; k < 4; k++) a[panel][k] = holdA<stored>(block.operandTile(slot, panel), k);
      if constexpr (inRegisters) block.release(block.operandFree(slot));
    }

    template <StoredB stored, bool negative = false>
    __device__ void multiply(NarrowSums& sum, const Block& block, int slot, int panel, Tile<64> b,
                             int k) const {
      if constexpr (inRegisters)
        multiplyChannels<negative>(sum, a[panel][k], b, k);
      else
        multiplyChannels<stored, negative>(sum, block.operandTile(slot, panel), b, k);
    }
  };

  NarrowSums state[KN];

 public:
  using Place::Place;

  __device__ void run() {
    eachElement(block.incoming(), block.state,
                [](float& element, const float& incoming) { element = incoming; });
    if constexpr (Block::backward)
      runBack();
    else
      runForth();
    float* const outgoing = block.outgoing();
    if (outgoing != nullptr)
      eachElement(outgoing, Block::leaves ? block.state : block.bh,
                  [](float& element, float& to) { to = element; });
  }

 private:
  /// S = gamma S + K^T (outOf N), N = U - W S.
  __device__ void runForth() {
    NarrowSums n;
    Held w, keys;
    RingPlace usedKeys, usedPart;
    block.partFull(0).wait(0);
    SweepPiece piece = block.piece(0);
    if (piece.piece.fresh) forget();
    storeState(0);
    block.operandFull(0).wait(0);
    w.template take<StoredB::rows>(block, 0);
    loadValues(n, block.values(0));
    meet();
    for (int i = 0;; i++) {
      const int shown = i & 1;
      const RingPlace ofW = operand, ofKeys = next(1);
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          w.template multiply<StoredB::rows, true>(n, block, ofW.slot, panel, block.stateTile(shown, panel),
                                                   k);
      commitProducts();
      arriveOfWarp(block.stateReady(shown));
      if (i > 0) {
        if (!Held::inRegisters) block.release(block.operandFree(usedKeys.slot));
        block.release(block.partFree(usedPart.slot));
      }
      decayState(piece.piece);
      const float near = outOf(0), far = outOf(8);
      block.operandFull(ofKeys.slot).wait(ofKeys.round);
      keys.template take<StoredB::columns>(block, ofKeys.slot);
      waitForProducts<0>();
      settle(n);

      NarrowSums written;
#pragma unroll
      for (int j = 0; j < 16; j++) written[j / 4][j % 4] = n[j / 4][j % 4] * (j % 4 < 2 ? near : far);
      storeTransposed(written, block.writtenTile());
      meet();
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++) {
#pragma unroll
        for (int k = 0; k < 4; k++)
          keys.template multiply<StoredB::columns>(state[panel], block, ofKeys.slot, panel,
                                                   block.writtenTile(), k);
        commitProducts();
      }
      storeTransposed(n, block.tokensTile(shown));
      publishToProducts();
      arriveOfWarp(block.tokensReady(shown));
      if (!Held::inRegisters) block.release(block.operandFree(ofW.slot));

      usedKeys = ofKeys;
      usedPart = part;
      const bool last = piece.last, forgets = piece.nextFresh;
      operand = next(Block::Layout::operandsPerPiece);
      if (!last) {
        part = part.ahead(1, block.rings.parts);
        block.partFull(part.slot).wait(part.round);
        piece = block.piece(part.slot);
        loadValues(n, block.values(part.slot));
        block.operandFull(operand.slot).wait(operand.round);
        w.template take<StoredB::rows>(block, operand.slot);
      }
      block.waitUntilFree(Block::shownAt(i + 1));
      finishState<0>(shown ^ 1, forgets);
      if (last) break;
      meet();
    }
  }

  /// D = gamma D + Q^T (into dO) - W^T dN, dN = P^T dO + outOf K D. The state here is the adjoint.
  __device__ void runBack() {
    NarrowSums dn, ofOutput;
    Held keys, w;
    RingPlace usedQueries, usedPart;
    block.partFull(0).wait(0);
    SweepPiece piece = block.piece(0);
    storeState(0);
    block.operandFull(0).wait(0);
    keys.template take<StoredB::rows>(block, 0);
    block.outputsReady(0).wait(0);
    meet();
    readOutput(ofOutput);
    waitForProducts<0>();
    settle(ofOutput);
    for (int i = 0;; i++) {
      const int shown = i & 1;
      const RingPlace ofKeys = operand, ofQueries = next(1), ofW = next(2);
      clear(dn);
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          keys.template multiply<StoredB::rows>(dn, block, ofKeys.slot, panel, block.stateTile(shown, panel),
                                                k);
      commitProducts();
      arriveOfWarp(block.stateReady(shown));
      decayState(piece.piece);
      const float near = outOf(0), far = outOf(8);
      block.operandFull(ofQueries.slot).wait(ofQueries.round);
      publishToProducts();
      const Tile<64> writes = diagonal ? block.outputs(part.slot) : block.writes(part.slot);
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          multiplyChannels<StoredB::columns>(state[panel], block.operandTile(ofQueries.slot, panel), writes,
                                             k);
      commitProducts();
      if (i > 0) {
        block.release(block.operandFree(usedQueries.slot));
        if (!Held::inRegisters)
          block.release(block.operandFree(usedQueries.ahead(1, block.rings.operands).slot));
        block.release(block.partFree(usedPart.slot));
      }
      usedQueries = ofQueries;
      usedPart = part;
      const bool last = piece.last, forgets = piece.piece.fresh;
      if (!last) {
        part = part.ahead(1, block.rings.parts);
        block.partFull(part.slot).wait(part.round);
        piece = block.piece(part.slot);
        block.outputsReady(part.slot).wait(part.round);
      }
      block.operandFull(ofW.slot).wait(ofW.round);
      w.template take<StoredB::columns>(block, ofW.slot);
      waitForProducts<1>();
      settle(dn);

      scaleRows(dn, near, far);
#pragma unroll
      for (int j = 0; j < 16; j++) dn[j / 4][j % 4] += ofOutput[j / 4][j % 4];
      storeTransposed(dn, block.tokensTile(shown));
      meet();
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++) {
#pragma unroll
        for (int k = 0; k < 4; k++)
          w.template multiply<StoredB::columns, true>(state[panel], block, ofW.slot, panel,
                                                      block.tokensTile(shown), k);
        commitProducts();
      }
      readOutput(ofOutput);  // of the last piece once more, for nothing: a branch would make products wait
      arriveOfWarp(block.tokensReady(shown));
      if (!Held::inRegisters) block.release(block.operandFree(ofKeys.slot));
      operand = next(Block::Layout::operandsPerPiece);
      if (!last) {
        block.operandFull(operand.slot).wait(operand.round);
        keys.template take<StoredB::rows>(block, operand.slot);
      }
      block.waitUntilFree(Block::shownAt(i + 1));
      finishState<1>(shown ^ 1, forgets);
      // Under way over the loop's end, the compiler would have every product of the kernel wait for the one
      // before.
      waitForProducts<0>();
      settle(ofOutput);
      if (last) break;
      meet();
    }
  }

  /// Starts P^T dO of the piece at `part`, whose sums nothing before them waits for.
  __device__ void readOutput(NarrowSums& sum) const {
    clear(sum);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
      multiplyChannels<StoredB::columns>(sum, block.scores(part.slot), block.outputs(part.slot), k);
    commitProducts();
  }

  /// Panel by panel, as its products end, the state goes where the next products read it. `others`: groups of
  /// products under way that came after the state's.
  template <int others, int panel = 0>
  __device__ void finishState(int shown, bool forgets) {
    waitForProducts<KN - 1 - panel + others>();
    settle(state[panel]);
    if (forgets) clear(state[panel]);
    storeTransposed(state[panel], block.stateTile(shown, panel));
    if constexpr (panel + 1 < KN) finishState<others, panel + 1>(shown, forgets);
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

  /// visit(element, its place in `states`, of which the head's has this number) for what the thread has of
  /// the state; zero where there is none.
  template <typename Place, typename Visit>
  __device__ void eachElement(Place* states, int64_t number, Visit&& visit) {
    if (states == nullptr) return forget();
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
#pragma unroll
      for (int i = 0; i < 16; i++) {
        float& element = state[panel][i / 4][i % 4];
        const int channel = 64 * panel + row0 + at.group + 8 * (i % 4 / 2);
        const int v = block.value + 8 * (i / 4) + at.pairOf + i % 2;
        if (channel < call.K && v < call.V)
          visit(element, states[(number * call.V + v) * call.K + channel]);
        else
          element = 0.0f;
      }
  }
};

}  // namespace longscan
