#pragma once

#include "../sweep/rows.cuh"
#include "layout.cuh"

namespace longscan {

/// The warpgroup that loads ahead, piece by piece, as far as there is room: a warp each for keys, queries, W
/// with Y, and the rest.
class AdjointLoader {
  using Block = AdjointBlock;
  using Layout = AdjointLayout;

  const Block& block;
  const DeltaSweepCall& call;
  const int lane;
  const int pitchK;
  const int64_t headK, headRows;
  bool whole = false;  // whether the copy engine takes the piece
  TileRows rows{};

 public:
  __device__ explicit AdjointLoader(const Block& block)
      : block(block),
        call(block.call),
        lane(threadIdx.x & 31),
        pitchK(call.H * call.K),
        headK(block.b * call.T * pitchK + static_cast<int64_t>(block.h) * call.K),
        headRows(block.bh * block.numChunks * tileTokens) {}

  __device__ void run() {
    const int duty = (threadIdx.x >> 5) % 4;
    const SweepMaps& maps = block.maps;
    PieceWalk walk = block.walk(true);
    for (int i = 0; !walk.done(); i++) {
      SweepPiece piece{walk.piece()};
      walk.advance();
      piece.last = walk.done();
      piece.nextFresh = false;
      rows = {static_cast<int64_t>(piece.piece.chunk) * tileTokens, piece.piece.low, piece.piece.high, false};
      whole = block.isWhole(piece.piece);
      const auto [slot, round] = Block::operandAt(i);
      if (duty == 0) {
        block.keysFree(slot).wait(round ^ 1);
        fillOperand(block.pieceFull(slot), block.keys(slot), maps.keys, block.h, block.b, call.k + headK,
                    pitchK);
      } else if (duty == 1) {
        block.pieceFree(slot).wait(round ^ 1);
        fillOperand(block.pieceFull(slot), block.queries(slot), maps.queries, block.h, block.b,
                    call.q + headK, pitchK);
      } else if (duty == 2) {
        block.wFree(slot).wait(round ^ 1);
        fillOperand(block.wFull(slot), block.w(slot), maps.w, 0, block.bh, call.chunks.w + headRows * call.K,
                    call.K);
        fillInverse(i);
      } else {
        fillGiven(i, piece);
      }
    }
  }

 private:
  __device__ int token() const { return static_cast<int>(rows.first); }

  /// `from`: the first row of the block's head; `head` and `batch` where it lies in `map`.
  __device__ void fillOperand(SweepBarrier full, uint32_t to, const CUtensorMap& map, int head, int batch,
                              const __nv_bfloat16* from, int pitch) const {
    copyOperand<Layout::panels>(call, whole, full, to, map, head, batch, from, pitch, rows);
  }

  __device__ void fillInverse(int i) const {
    const auto [slot, round] = Block::inverseAt(i);
    const SweepBarrier full = block.inverseFull(slot);
    block.inverseFree(slot).wait(round ^ 1);
    const Tile<64> to = block.inverse(slot);
    if (whole) {
      if (electLane()) {
        arriveExpecting(full, Layout::panel);
        copyBox(to.base, block.maps.inverse, full.address, 0, 0, token(), block.bh);
      }
      __syncwarp();
    } else {
      copyRows(to, call.chunks.inverse + headRows * 64, 64, 64, rows);
      announceCopies(full);
    }
  }

  __device__ void fillGiven(int i, const SweepPiece& piece) const {
    const auto [slot, round] = Block::givenAt(i);
    const SweepBarrier full = block.givenFull(slot);
    block.givenFree(slot).wait(round ^ 1);
    const uint32_t factors = block.facts(slot);
    if (electLane()) *block.record(slot) = piece.packed();
    __syncwarp();
    const float* const into = call.chunks.into + headRows + rows.first;
    const float* const outOf = call.chunks.outOf + headRows + rows.first;
    if (whole) {
      if (electLane()) {
        arriveExpecting(full, 2 * Layout::panel + 512);
        copyBox(block.scores(slot).base, block.maps.scores, full.address, 0, 0, token(), block.bh);
        copyBox(block.dO(slot).base, block.maps.values, full.address, block.value, block.h, token(), block.b);
        copyRun(factors, into, 256, full.address);
        copyRun(factors + Layout::outOf, outOf, 256, full.address);
      }
      __syncwarp();
    } else {
      const int pitchV = call.H * call.V;
      const int64_t headV = block.b * call.T * pitchV + static_cast<int64_t>(block.h) * call.V;
      copyRows(block.scores(slot), call.chunks.scores + headRows * 64, 64, 64, rows);
      copyRows(block.dO(slot), call.dO + headV + block.value, pitchV, call.V - block.value, rows);
      for (int row = lane; row < tileTokens; row += 32) {
        copyAsync4(factors + 4 * row, into + row, rows.has(row));
        copyAsync4(factors + Layout::outOf + 4 * row, outOf + row, rows.has(row));
      }
      announceCopies(full);
    }
  }
};

}  // namespace longscan
