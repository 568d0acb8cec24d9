#pragma once

#include "../sweep/store.cuh"
#include "../sweep/wide_products.cuh"
#include "layout.cuh"

namespace longscan {

#if LONGSCAN_WGMMA

/// The warpgroup that does what does not wait for the adjoint, a piece ahead of the chain: (into dO)^T as the
/// chain's first operand. And what nobody waits for: dv = Y^T dN.
class AdjointAttendant {
  using Block = AdjointBlock;

  const Block& block;
  const DeltaSweepCall& call;
  const DeltaLane at;
  const int row0;
  /// Rows of the piece before, which are stored under the products of this one.
  uint32_t packed[2][8] = {};
  Piece stored{};

 public:
  __device__ explicit AdjointAttendant(const Block& block)
      : block(block), call(block.call), row0(16 * (at.warp % 4)) {}

  __device__ void run() {
    SweepPiece piece = makeOutputs(0);
    for (int i = 0;; i++) {
      const SweepPiece next = piece.last ? piece : makeOutputs(i + 1);
      makeGradient(piece.piece, i);
      if (piece.last) break;
      piece = next;
    }
    storeRows();
    announceAtBarrier(block.rowsStored, 256);
  }

 private:
  __device__ SweepPiece makeOutputs(int i) const {
    const auto [given, roundGiven] = Block::givenAt(i);
    const auto [slot, round] = Block::operandAt(i);
    block.givenFull(given).wait(roundGiven);
    const SweepPiece piece = block.piece(given);
    MmaA into[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
      into[k] = scaleContracted(holdColumns(block.dO(given), k), block.into(given), k, call.scale);
    arriveOfWarp(block.givenFree(given));
    block.pieceFree(slot).wait(round ^ 1);
#pragma unroll
    for (int k = 0; k < 4; k++)
      storeShared16(block.outputsPlace(slot, k),
                    make_uint4(into[k].x[0], into[k].x[1], into[k].x[2], into[k].x[3]));
    arriveOfWarp(block.pieceFull(slot));
    return piece;
  }

  __device__ void makeGradient(const Piece& piece, int i) {
    const int shown = Block::shownAt(i).slot;
    const auto [slot, round] = Block::inverseAt(i);
    const Tile<64> inverse = block.inverse(slot), tokens = block.tokensTile(shown);
    Sums dv;
    block.inverseFull(slot).wait(round);
    block.tokensReady(shown).wait(Block::shownAt(i).round);
    publishToProducts();
    beginProducts();
    multiplyTiles<StoredB::rows, false, StoredB::columns>(
        dv, productOperand<StoredB::columns>(inverse.base, 0), productOperand<StoredB::rows>(tokens.base, 0));
#pragma unroll
    for (int k = 1; k < 4; k++) multiplyChannels<StoredB::columns>(dv, inverse, tokens, k);
    commitProducts();
    storeRows();
    waitForProducts<0>();
    settle(dv);
    arriveOfWarp(block.shownFree(shown));
    arriveOfWarp(block.inverseFree(slot));
#pragma unroll
    for (int j = 0; j < 2; j++)
#pragma unroll
      for (int n = 0; n < 8; n++) packed[j][n] = pack(dv[n][2 * j], dv[n][2 * j + 1]);
    stored = piece;
  }

  __device__ void storeRows() const {
    storeTokenRows<wideValues>(block, call.dv, stored, row0, packed, at);
  }
};

#endif

}  // namespace longscan
