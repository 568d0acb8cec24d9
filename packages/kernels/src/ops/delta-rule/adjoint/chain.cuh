#pragma once

#include "layout.cuh"
#include "state.cuh"

namespace longscan {

#if LONGSCAN_WGMMA

/// The warpgroup that every chunk waits for. The adjoint of the state, transposed, lies in the sums of its
/// products, [64 of V, 64 of K] each; rounded, it is the first operand of the next product where it lies, and
/// so is dN. So nothing of the chain goes through shared memory, and its warps meet nowhere but in the
/// products. A piece's dO^T P is started behind the W of the piece before, so that the matrix units have work
/// while the chain shows dN and asks for what it needs next.
template <bool decays>
class AdjointChain {
  using Block = AdjointBlock;
  using Layout = AdjointLayout;
  static constexpr int panels = Layout::panels;

  const Block& block;
  const DeltaSweepCall& call;
  Sums state[panels];
  Sums fromOutputs;
  MmaA rounded[panels][4], adjoint[4], outputs[4];

 public:
  __device__ explicit AdjointChain(const Block& block) : block(block), call(block.call) {}

  __device__ void run() {
    eachElement(call.dht, block.stateOfSegment(),
                [](float& element, const float& incoming) { element = incoming; });
    const bool forgets = sweep();
    float* const outgoing = block.segment() == 0 ? call.dh0 : nullptr;
    if (outgoing != nullptr)
      eachElement(outgoing, block.bh, [=](float& element, float& to) { to = forgets ? 0.0f : element; });
  }

 private:
  __device__ bool sweep() {
    SweepPiece piece = takeOutputs(0);
    meet(0, 0);
    makeTokens(piece, 0, 0, false, false);
    for (int i = 0;; i++) {
      // No product is under way from one round to the next: the compiler would make all of them wait.
      const int slot = Block::operandAt(i).slot, given = Block::givenAt(i).slot,
                shown = Block::shownAt(i).slot;
      addToState<true, true>(adjoint, block.w(slot));
      // What follows the last piece is that piece's once more, with zeros for (into dO)^T, and its products
      // are for nothing: a branch would make all of them wait.
      const bool last = piece.last, forgets = piece.piece.fresh;
      const int next = last ? i : i + 1;
      piece = takeOutputs(next);
      storeHeld(block.tokensTile(shown), adjoint);
      arriveOfWarp(block.tokensReady(shown));
      arriveOfWarp(block.givenFree(given));
      meet(i + 1, next);
      makeTokens(piece, i + 1, next, forgets, last);
      if (last) return forgets;
    }
  }

  /// The piece, and its dO^T P started.
  __device__ SweepPiece takeOutputs(int i) {
    const auto [given, round] = Block::givenAt(i);
    block.givenFull(given).wait(round);
    const SweepPiece piece = block.piece(given);
    block.seeCopies(piece.piece);
#pragma unroll
    for (int k = 0; k < 4; k++) outputs[k] = holdColumns(block.dO(given), k);
    beginProducts();
    multiplyHeld<StoredB::columns, false, false>(fromOutputs, outputs[0], block.scores(given), 0);
#pragma unroll
    for (int k = 1; k < 4; k++)
      multiplyHeld<StoredB::columns>(fromOutputs, outputs[k], block.scores(given), k);
    commitProducts();
    return piece;
  }

  /// Keys and queries of piece `of` are there, and nobody reads what was shown before where the i-th state
  /// and dN will be. Both are asked for first: an answer takes long.
  __device__ void meet(int i, int of) const {
    const auto [slot, round] = Block::operandAt(of);
    const auto [shown, roundShown] = Block::shownAt(i);
    const bool isThere = block.pieceFull(slot).isOver(round);
    block.shownFree(shown).wait(roundShown ^ 1);
    if (!isThere) block.pieceFull(slot).wait(round);
  }

  /// dN of a piece, as the next product's first operand, and the adjoint but for what dN takes of it. Places
  /// of keys and queries are given back as soon as their products are over, so that more than a piece's time
  /// is left to load those of the piece after the next.
  __device__ void makeTokens(const SweepPiece& piece, int i, int of, bool forgets, bool last) {
    const auto [slot, round] = Block::operandAt(of);
    const int given = Block::givenAt(of).slot, shown = Block::shownAt(i).slot;
    Sums dn;
    block.seeCopies(piece.piece);
    multiplyState(dn, slot, forgets);
    if (i > 0) arriveOfWarp(block.wFree(Block::operandAt(i - 1).slot));
#pragma unroll
    for (int panel = 0; panel < panels; panel++) storeHeld(block.stateTile(shown, panel), rounded[panel]);
    arriveOfWarp(block.stateReady(shown));
    MmaA into[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const uint4 x = loadShared16(block.outputsPlace(slot, k));
      into[k] = {{last ? 0 : x.x, last ? 0 : x.y, last ? 0 : x.z, last ? 0 : x.w}};
    }
    // Not after the last piece, which the state leaves as it is.
    if constexpr (decays) decay(state, last ? 1.0f : block.into(given)[piece.piece.high - 1]);
    addToState<false, false>(into, block.queries(slot));
    ColumnFactors outOf;
    outOf.take(block.outOf(given));
    waitForProducts<1>();
    settle(dn);
    settle(fromOutputs);
    arriveOfWarp(block.keysFree(slot));
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int j = 0; j < 4; j++)
        dn[n][j] = fmaf(dn[n][j], j % 2 == 0 ? outOf.of[n].x : outOf.of[n].y, fromOutputs[n][j]);
    holdSums(adjoint, dn);
    block.wFull(slot).wait(round);
    block.seeCopies(piece.piece);
    waitForProducts<0>();
#pragma unroll
    for (int panel = 0; panel < panels; panel++) settle(state[panel]);
    arriveOfWarp(block.pieceFree(slot));
  }

  /// Starts dn = D^T K^T, panel by panel as D's own products end.
  template <int panel = 0>
  __device__ void multiplyState(Sums& dn, int slot, bool forgets) {
    waitForProducts<panels>();
    settle(state[panel]);
    clearIf(state[panel], forgets);
    holdSums(rounded[panel], state[panel]);
    const Tile<64> keys{block.keys(slot) + panel * Layout::panel};
    beginProducts();
    multiplyHeld<StoredB::rows, false, panel != 0>(dn, rounded[panel][0], keys, 0);
#pragma unroll
    for (int k = 1; k < 4; k++) multiplyHeld<StoredB::rows>(dn, rounded[panel][k], keys, k);
    commitProducts();
    if constexpr (panel + 1 < panels) multiplyState<panel + 1>(dn, slot, forgets);
  }

  /// Starts D^T += A X, or -=, A [64 of V, 64 tokens], in a group a panel if `byPanel`.
  template <bool negative, bool byPanel>
  __device__ void addToState(const MmaA (&a)[4], uint32_t x) {
    beginProducts();
#pragma unroll
    for (int panel = 0; panel < panels; panel++) {
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiplyHeld<StoredB::columns, negative>(state[panel], a[k], Tile<64>{x + panel * Layout::panel}, k);
      if (byPanel || panel + 1 == panels) commitProducts();
    }
  }

  template <typename Place, typename Visit>
  __device__ void eachElement(Place* states, int64_t number, Visit&& visit) {
    eachOfState(state, states, number, block.value, call.K, call.V, visit);
  }
};

#endif

}  // namespace longscan
