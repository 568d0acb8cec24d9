#pragma once

#include "place.cuh"
#include "store.cuh"

namespace longscan {

/// The warpgroup that does what nobody waits for: the output, or dv.
template <int KN, SweepKind kind, bool diagonal, int width>
class SweepAttendant : SweepPlace<SweepBlock<KN, kind, diagonal, width>> {
  using Block = SweepBlock<KN, kind, diagonal, width>;
  using Place = SweepPlace<Block>;
  using Place::at, Place::block, Place::call, Place::operand, Place::part, Place::row0;
  static constexpr bool backward = Block::backward;
  using ValueSums = float[width / 8][4];
  /// A narrow chain takes dO transposed from shared memory.
  static constexpr bool turnsOutput = backward && width == narrowValues;

  /// Rows of the piece before, which are stored under the products of this one.
  uint32_t packed[2][width / 8] = {};
  Piece piece{};

 public:
  using Place::Place;

  __device__ void run() {
    if constexpr (Block::leaves) return runLeaving();
    bool last = false;
    if constexpr (turnsOutput) turnOutput();
    for (int i = 0; !last; i++) {
      const RingPlace shown = Block::shownAt(i);
      const RingPlace own = part;
      block.partFull(own.slot).wait(own.round);
      const SweepPiece next = block.piece(own.slot);
      last = next.last;
      part = own.ahead(1, block.rings.parts);
      if constexpr (backward) {
        if constexpr (turnsOutput)
          if (!last) turnOutput();
        block.tokensReady(shown.slot).wait(shown.round);
        attendGradient(next.piece, shown.slot, own.slot);
      } else {
        attendOutput(next.piece, shown.slot, shown.round, own.slot);
        operand = Place::next(Block::Layout::operandsPerPiece);
      }
    }
    storeRows();
    if (backward) announceAtBarrier(block.rowsStored, 256);
  }

 private:
  /// Nothing of a piece is to be done but to turn dO, for a narrow chain.
  __device__ void runLeaving() {
    if constexpr (turnsOutput)
      for (bool last = false; !last; part = part.ahead(1, block.rings.parts)) {
        turnOutput();
        last = block.piece(part.slot).last;
        block.release(block.partFree(part.slot));
      }
  }

  /// o = scale * into Q S + P N
  __device__ void attendOutput(const Piece& next, int shown, uint32_t round, int slot) {
    const RingPlace queries = Place::next(2);
    ValueSums o;
    clear(o);
    block.operandFull(queries.slot).wait(queries.round);
    block.stateReady(shown).wait(round);
    publishToProducts();
    beginProducts();
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiplyChannels<StoredB::rows>(o, block.operandTile(queries.slot, panel),
                                        block.stateTile(shown, panel), k);
    commitProducts();
    // Of a wide block later: its second fence would wait for what is stored here.
    if (width == narrowValues) storeRows();
    const float* const into = block.into(slot) + row0 + at.group;
    const float near = diagonal ? 1.0f : call.scale * into[0], far = diagonal ? 1.0f : call.scale * into[8];
    waitForProducts<0>();
    settle(o);
    block.release(block.operandFree(queries.slot));
    if (!diagonal) scaleRows(o, near, far);
    block.tokensReady(shown).wait(round);
    if (width == wideValues) publishToProducts();  // a narrow chain has done it
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
      multiplyChannels<StoredB::rows>(o, block.scores(slot), block.tokensTile(shown), k);
    commitProducts();
    if (width == wideValues) storeRows();
    finish(o, next, shown, slot);
  }

  /// dv = Y^T dN
  __device__ void attendGradient(const Piece& next, int shown, int slot) {
    ValueSums dv;
    clear(dv);
    publishToProducts();
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
      multiplyChannels<StoredB::columns>(dv, block.inverse(slot), block.tokensTile(shown), k);
    commitProducts();
    storeRows();
    finish(dv, next, shown, slot);
  }

  /// Waits for the last products of a piece, whose rows are stored later.
  __device__ void finish(ValueSums& found, const Piece& next, int shown, int slot) {
    waitForProducts<0>();
    settle(found);
    arriveOfWarp(block.shownFree(shown));
    block.release(block.partFree(slot));
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int n = 0; n < width / 8; n++) packed[i][n] = pack(found[n][2 * i], found[n][2 * i + 1]);
    piece = next;
  }

  /// Of the piece at `part`: dO transposed, as products read it, and scale * into dO as the state takes it.
  __device__ void turnOutput() const {
    block.partFull(part.slot).wait(part.round);
    NarrowSums sum;
    loadValues(sum, block.values(part.slot));
    storeTransposed(sum, block.outputs(part.slot));
    if (!diagonal) {
      const float* const into = block.into(part.slot) + row0 + at.group;
      scaleRows(sum, call.scale * into[0], call.scale * into[8]);
      joinBarrier(2, 128);
      storeTransposed(sum, block.writes(part.slot));
    }
    publishToProducts();
    arriveOfWarp(block.outputsReady(part.slot));
  }

  __device__ void storeRows() const {
    storeTokenRows<width>(block, backward ? call.dv : call.o, piece, row0, packed, at);
  }
};

}  // namespace longscan
