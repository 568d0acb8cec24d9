#pragma once

#include "place.cuh"
#include "wide_products.cuh"

namespace longscan {

template <int KN, SweepKind kind, bool diagonal>
class SweepWideChain;

#if LONGSCAN_WGMMA

/// The warpgroup that every chunk waits for, on Hopper, with 64 channels of V. The state, transposed, lies in
/// the sums of its products, [64 of V, 64 of K] each; rounded, it is the first operand of the next product
/// where it lies, and so is N. So nothing of the chain goes through shared memory, and its warps meet nowhere
/// but in the products.
template <int KN, SweepKind kind, bool diagonal>
class SweepWideChain : SweepPlace<SweepBlock<KN, kind, diagonal, wideValues>> {
  using Block = SweepBlock<KN, kind, diagonal, wideValues>;
  using Place = SweepPlace<Block>;
  using Place::at, Place::block, Place::call, Place::next, Place::operand, Place::part, Place::row0;

  Sums state[KN];
  MmaA rounded[KN][4];

 public:
  using Place::Place;

  __device__ void run() {
    eachElement(block.incoming(), block.state,
                [](float& element, const float& incoming) { element = incoming; });
    bool forgets = false;
    if constexpr (Block::backward)
      forgets = runBack();
    else
      runForth();
    float* const outgoing = block.outgoing();
    if (outgoing != nullptr)
      eachElement(outgoing, Block::leaves ? block.state : block.bh,
                  [=](float& element, float& to) { to = forgets ? 0.0f : element; });
  }

 private:
  /// N^T = U^T - S^T W^T, S^T = gamma S^T + (outOf N)^T K.
  __device__ void runForth() {
    Sums n;
    block.partFull(0).wait(0);
    SweepPiece piece = block.piece(0);
    if (piece.piece.fresh) forget();
    block.operandFull(0).wait(0);
    block.seeCopies(piece.piece);
    takeValues(n);
    multiplyState<true, true>(n, 0, false, piece.piece, false);
    ColumnFactors outOf;
    outOf.take(block.outOf(0));
    waitForKeys(piece);
    waitForProducts<0>();
    settle(n);
    for (int i = 0;; i++) {
      const RingPlace ofKeys = next(1);
      MmaA written[4], corrections[4];
#pragma unroll
      for (int k = 0; k < 4; k++) written[k] = scaledOperand(n, k, outOf);
      addToState<false>(written, ofKeys.slot);
      block.release(block.operandFree(operand.slot));
      holdSums(corrections, n);
      showTokens(corrections, Block::shownAt(i).slot);
      block.release(block.partFree(part.slot));

      // What follows the last piece is that piece's once more, and its products are for nothing: a branch
      // would make all of them wait.
      const bool last = piece.last, forgets = piece.nextFresh;
      const RingPlace shown = Block::shownAt(i + 1);
      piece = takeNext(last, shown);
      takeValues(n);
      multiplyState<true, true>(n, shown.slot, forgets, piece.piece, last);
      block.release(block.operandFree(ofKeys.slot));
      outOf.take(block.outOf(part.slot));
      waitForKeys(piece);
      waitForProducts<0>();
      settle(n);
      if (last) return;
    }
  }

  /// dN^T = dO^T P + outOf (D^T K^T), D^T = gamma D^T + (into dO)^T Q - dN^T W. The state here is the
  /// adjoint.
  __device__ bool runBack() {
    Sums dn;
    block.partFull(0).wait(0);
    SweepPiece piece = block.piece(0);
    block.operandFull(0).wait(0);
    block.seeCopies(piece.piece);
    multiplyState<false, false>(dn, 0, false, piece.piece, false);
    addOutputs(dn, piece, false);
    for (int i = 0;; i++) {
      const RingPlace ofQueries = next(1), ofW = next(2);
      MmaA adjoint[4];
      holdSums(adjoint, dn);
      block.operandFull(ofW.slot).wait(ofW.round);
      block.seeCopies(piece.piece);
      addToState<true>(adjoint, ofW.slot);
      showTokens(adjoint, Block::shownAt(i).slot);
      block.release(block.operandFree(operand.slot));
      block.release(block.operandFree(ofQueries.slot));
      block.release(block.partFree(part.slot));

      const bool last = piece.last, forgets = piece.piece.fresh;
      const RingPlace shown = Block::shownAt(i + 1);
      piece = takeNext(last, shown);
      multiplyState<false, false>(dn, shown.slot, forgets, piece.piece, last);
      block.release(block.operandFree(ofW.slot));
      addOutputs(dn, piece, last);
      if (last) return forgets;
    }
  }

  /// To the next piece, unless this is the last one; its part and first operand are there then, and nobody
  /// reads what was shown before where it will be. Of barriers the chain asks for all first: an answer takes
  /// long.
  __device__ SweepPiece takeNext(bool last, RingPlace shown) {
    if (!last) {
      operand = next(Block::Layout::operandsPerPiece);
      part = part.ahead(1, block.rings.parts);
    }
    const SweepBarrier partFull = block.partFull(part.slot), operandFull = block.operandFull(operand.slot);
    const bool isPart = partFull.isOver(part.round), isOperand = operandFull.isOver(operand.round);
    block.waitUntilFree(shown);
    if (!isPart) partFull.wait(part.round);
    if (!isOperand) operandFull.wait(operand.round);
    const SweepPiece piece = block.piece(part.slot);
    block.seeCopies(piece.piece);
    return piece;
  }

  /// Starts n = U^T.
  __device__ void takeValues(Sums& n) {
    const Tile<64> identity = block.identity(), values = block.values(part.slot);
    beginProducts();
    multiplyTiles<StoredB::rows, false>(n, productOperand<StoredB::rows>(identity.base, 0),
                                        productOperand<StoredB::rows>(values.base, 0));
#pragma unroll
    for (int k = 1; k < 4; k++)
      multiplyTiles<StoredB::rows, true>(n, productOperand<StoredB::rows>(identity.base, k),
                                         productOperand<StoredB::rows>(values.base, k));
    commitProducts();
  }

  /// Starts sum = sum - S^T X^T (`negative`, `adds`) or S^T X^T, X the operand at `operand`, panel by panel
  /// as the state's own products end, and shows the rounded state. Then the state decays by `piece`, or
  /// leaves after the last one.
  template <bool negative, bool adds, int panel = 0>
  __device__ void multiplyState(Sums& sum, int shown, bool forgets, const Piece& piece, bool last) {
    waitForProducts<KN - (adds ? 0 : 1)>();
    settle(state[panel]);
    clearIf(state[panel], forgets);
    holdSums(rounded[panel], state[panel]);
    const Tile<64> x = block.operandTile(operand.slot, panel);
    beginProducts();
    multiplyHeld<StoredB::rows, negative, adds || panel != 0>(sum, rounded[panel][0], x, 0);
#pragma unroll
    for (int k = 1; k < 4; k++) multiplyHeld<StoredB::rows, negative>(sum, rounded[panel][k], x, k);
    commitProducts();
    if constexpr (!Block::leaves) show(rounded[panel], block.stateTile(shown, panel));
    if constexpr (panel + 1 < KN) {
      multiplyState<negative, adds, panel + 1>(sum, shown, forgets, piece, last);
    } else {
      if constexpr (!Block::leaves) arriveOfWarp(block.stateReady(shown));
      decayState(piece, last);
    }
  }

  /// Starts S^T += A X, or -=, A [64 of V, 64 tokens].
  template <bool negative>
  __device__ void addToState(const MmaA (&a)[4], int slot) {
    beginProducts();
#pragma unroll
    for (int panel = 0; panel < KN; panel++) {
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiplyHeld<StoredB::columns, negative>(state[panel], a[k], block.operandTile(slot, panel), k);
      commitProducts();
    }
  }

  /// What a piece's outputs give to dN and to the adjoint, and the decay of dN's other part, whose product is
  /// under way.
  __device__ void addOutputs(Sums& dn, const SweepPiece& piece, bool last) {
    const RingPlace ofQueries = next(1);
    MmaA outputs[4], into[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      into[k] = holdColumns(block.values(part.slot), k);
      if (!diagonal) into[k] = scaleContracted(into[k], block.into(part.slot), k, call.scale);
#pragma unroll
      for (int i = 0; i < 4; i++) into[k].x[i] = last ? 0 : into[k].x[i];
    }
    block.operandFull(ofQueries.slot).wait(ofQueries.round);
    block.seeCopies(piece.piece);
    addToState<false>(into, ofQueries.slot);
    ColumnFactors outOf;
    outOf.take(block.outOf(part.slot));
    waitForProducts<KN>();
    settle(dn);
    scaleColumns(dn, outOf);
#pragma unroll
    for (int k = 0; k < 4; k++) outputs[k] = holdColumns(block.values(part.slot), k);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiplyHeld<StoredB::columns>(dn, outputs[k], block.scores(part.slot), k);
    commitProducts();
    waitForProducts<0>();
    settle(dn);
#pragma unroll
    for (int panel = 0; panel < KN; panel++) settle(state[panel]);
  }

  __device__ static void holdSums(MmaA (&a)[4], const Sums& sum) {
#pragma unroll
    for (int k = 0; k < 4; k++) a[k] = operandOf(sum, k);
  }

  __device__ void show(const MmaA (&a)[4], Tile<64> tile) const {
#pragma unroll
    for (int k = 0; k < 4; k++) storeOperandA(tile, row0, k, a[k], at.lane);
  }

  __device__ void showTokens(const MmaA (&a)[4], int shown) const {
    if constexpr (Block::leaves) return;
    show(a, block.tokensTile(shown));
    arriveOfWarp(block.tokensReady(shown));
  }

  __device__ void waitForKeys(const SweepPiece& piece) const {
    const RingPlace ofKeys = next(1);
    block.operandFull(ofKeys.slot).wait(ofKeys.round);
    block.seeCopies(piece.piece);
  }

  __device__ void forget() {
#pragma unroll
    for (int panel = 0; panel < KN; panel++) clear(state[panel]);
  }

  /// Not after the last piece, which the state leaves as it is.
  __device__ void decayState(const Piece& piece, bool last) {
    if constexpr (diagonal) {
      // `gamma` is that of the chunk's first piece. One with a document start meets no older state.
      const bool stays = piece.fresh || last;
#pragma unroll
      for (int panel = 0; panel < KN; panel++) {
        ColumnFactors gamma;
        gamma.take(block.gamma(part.slot) + 64 * panel);
#pragma unroll
        for (int n = 0; n < 8; n++) gamma.of[n] = stays ? make_float2(1.0f, 1.0f) : gamma.of[n];
        scaleColumns(state[panel], gamma);
      }
    } else {
      const float gamma = last ? 1.0f : block.into(part.slot)[piece.high - 1];
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int i = 0; i < 32; i++) state[panel][i / 4][i % 4] *= gamma;
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
      for (int i = 0; i < 32; i++) {
        float& element = state[panel][i / 4][i % 4];
        const int channel = 64 * panel + 8 * (i / 4) + at.pairOf + i % 2;
        const int v = block.value + row0 + at.group + 8 * (i % 4 / 2);
        if (channel < call.K && v < call.V)
          visit(element, states[(number * call.V + v) * call.K + channel]);
        else
          element = 0.0f;
      }
  }
};

#endif

}  // namespace longscan
