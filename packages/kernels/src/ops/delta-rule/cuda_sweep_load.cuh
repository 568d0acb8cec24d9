#pragma once

#include "cuda_sweep_layout.cuh"

namespace longscan {

/// The warp that fills the rings, piece by piece, in the order in which the chain uses them up.
template <int KN, DeltaRole role, bool diagonal>
class SweepLoader {
  using Block = SweepBlock<KN, role, diagonal>;
  using Layout = typename Block::Layout;

  const Block& block;
  const DeltaSweepCall& call;
  const int lane;
  const int pitchK, pitchV;
  const int64_t headK, headV, headRows;
  RingPlace operand, part;

 public:
  __device__ explicit SweepLoader(const Block& block)
      : block(block),
        call(block.call),
        lane(threadIdx.x & 31),
        pitchK(call.H * call.K),
        pitchV(call.H * call.V),
        headK(block.b * call.T * pitchK + static_cast<int64_t>(block.h) * call.K),
        headV(block.b * call.T * pitchV + static_cast<int64_t>(block.h) * call.V),
        headRows(block.bh * block.numChunks * tileTokens) {}

  __device__ void run() {
    PieceWalk walk(call.resets ? call.resets + block.b * call.T : nullptr, call.T, 0, block.numChunks,
                   Block::backward);
    const __nv_bfloat16* const keys = (diagonal ? call.chunks.writeKeys : call.k) + headK;
    const __nv_bfloat16* const queries = (diagonal ? call.chunks.queries : call.q) + headK;
    const __nv_bfloat16* const w = call.chunks.w + headRows * call.K;
    while (!walk.done()) {
      SweepPiece piece{walk.piece()};
      walk.advance();
      piece.last = walk.done();
      piece.nextFresh = !piece.last && walk.piece().fresh;
      const TileRows rows{static_cast<int64_t>(piece.piece.chunk) * tileTokens, piece.piece.low,
                          piece.piece.high, false};
      fillPart(piece, rows);
      if (Block::backward) {
        fillOperand(keys, pitchK, rows);
        fillOperand(queries, pitchK, rows);
        fillOperand(w, call.K, rows);
      } else {
        fillOperand(w, call.K, rows);
        fillOperand(keys, pitchK, rows);
        if (Block::output) fillOperand(queries, pitchK, rows);
      }
    }
  }

 private:
  __device__ void fillOperand(const __nv_bfloat16* from, int pitch, const TileRows& rows) {
    block.operandFree(operand.slot).wait(operand.round ^ 1);
    fillPanels<KN>(block.operand(operand.slot), from, pitch, call.K, rows);
    finish(block.operandFull(operand.slot));
    operand = operand.ahead(1, block.rings.operands);
  }

  __device__ void fillPart(const SweepPiece& piece, const TileRows& rows) {
    const int slot = part.slot;
    block.partFree(slot).wait(part.round ^ 1);
    if (lane == 0) *block.record(slot) = piece.packed();
    if (Block::reads)
      fillPanels<1>(block.scores(slot).base, call.chunks.scores + headRows * 64, 64, 64, rows);
    if (Block::backward) {
      fillPanels<1>(block.inverse(slot).base, call.chunks.inverse + headRows * 64, 64, 64, rows);
      fillValues(block.values(slot), call.dO + headV, pitchV, rows);
    } else {
      fillValues(block.values(slot), call.chunks.u + headRows * call.V, call.V, rows);
    }
    const int64_t firstRow = headRows + rows.first;
    const uint32_t factors = block.part(slot) + Layout::factors, gamma = block.part(slot) + Layout::gamma;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = lane + 32 * i;
      if (!diagonal) copyAsync4(factors + 4 * row, call.chunks.into + firstRow + row, rows.has(row));
      copyAsync4(factors + 256 + 4 * row, call.chunks.outOf + firstRow + row, rows.has(row));
    }
    if (diagonal)
      for (int i = lane; i < 16 * KN; i += 32)
        copyAsync16(gamma + 16 * i,
                    call.chunks.gamma + (block.bh * block.numChunks + piece.piece.chunk) * call.K + 4 * i,
                    4 * i < call.K);
    finish(block.partFull(slot));
    part = part.ahead(1, block.rings.parts);
  }

  /// The block's channels of V.
  __device__ void fillValues(ValueTile to, const __nv_bfloat16* from, int pitch, const TileRows& rows) const {
    const int row0 = lane / 4, unit = lane % 4, column = block.value + 8 * unit;
    const __nv_bfloat16* source = from + (rows.first + row0) * pitch + column;
#pragma unroll
    for (int i = 0; i < tileTokens / 8; i++) {
      const int row = row0 + 8 * i;
      copyAsync16(to.address(row, unit), source, rows.has(row) && column < call.V);
      source += 8 * static_cast<int64_t>(pitch);
    }
  }

  __device__ void finish(SweepBarrier full) const {
    full.expectCopies();
    arriveAsWarp(full);
  }
};

}  // namespace longscan
