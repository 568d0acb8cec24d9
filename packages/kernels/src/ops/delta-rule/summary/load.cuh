#pragma once

#include "layout.cuh"

namespace longscan {

/// The warpgroup that fills the ring, piece by piece: a warp each for W, the keys, the values, and factors.
template <int KN, bool diagonal>
class SummaryLoader {
  using Block = SummaryBlock<KN>;
  using Layout = typename Block::Layout;

  const Block& block;
  const DeltaSummaryCall& call;
  const int lane;
  const int64_t headRows;  // the head's first row, of prepared ones

 public:
  __device__ explicit SummaryLoader(const Block& block)
      : block(block),
        call(block.call),
        lane(threadIdx.x & 31),
        headRows(block.bh * block.numChunks * tileTokens) {}

  __device__ void run() const {
    const int duty = (threadIdx.x >> 5) % 4;
    PieceWalk walk(call.resets ? call.resets + block.b * call.T : nullptr, call.T, block.firstChunk,
                   block.endChunk, false);
    for (RingPlace at; !walk.done(); at = at.ahead(1, block.stages)) {
      SweepPiece piece{walk.piece()};
      walk.advance();
      piece.last = walk.done();
      piece.nextFresh = !piece.last && walk.piece().fresh;
      block.free(at.slot).wait(at.round ^ 1);
      if (Block::isWhole(piece.piece))
        copyWhole(duty, at.slot, piece);
      else
        copyRows(duty, at.slot, piece);
    }
  }

 private:
  /// By the copy engine.
  __device__ void copyWhole(int duty, int slot, const SweepPiece& piece) const {
    const SweepBarrier full = block.full(slot);
    const int token = piece.piece.chunk * tileTokens;
    const int64_t row = headRows + token;
    if (electLane()) {
      if (duty == 0) {
        arriveExpecting(full, KN * Layout::panel);
        for (int panel = 0; panel < KN; panel++)
          copyBox(block.w(slot, panel).base, block.maps.w, full.address, 64 * panel, 0, token,
                  static_cast<int>(block.bh));
      } else if (duty == 1) {
        arriveExpecting(full, KN * Layout::panel);
        for (int panel = 0; panel < KN; panel++)
          copyBox(block.keys(slot, panel).base, block.maps.keys, full.address, 64 * panel, block.h, token,
                  block.b);
      } else if (duty == 2) {
        const int tiles = min(summaryGroups, max(0, summaryTiles(call.V) - block.firstTile));
        arriveExpecting(full, tiles * Layout::panel);
        for (int i = 0; i < tiles; i++)
          copyBox(block.values(slot, i).base, block.maps.values, full.address, 64 * (block.firstTile + i), 0,
                  token, static_cast<int>(block.bh));
      } else {
        *block.record(slot) = piece.packed();
        arriveExpecting(full, 256 + (diagonal ? 4 * call.K : 256));
        copyRun(factorsAt(slot) + 256, call.chunks.outOf + row, 256, full.address);
        if (diagonal)
          copyRun(gammaAt(slot), gammaOf(piece), 4 * call.K, full.address);
        else
          copyRun(factorsAt(slot), call.chunks.into + row, 256, full.address);
      }
    }
    __syncwarp();
  }

  /// By the calling warp.
  __device__ void copyRows(int duty, int slot, const SweepPiece& piece) const {
    const SweepBarrier full = block.full(slot);
    const TileRows rows{static_cast<int64_t>(piece.piece.chunk) * tileTokens, piece.piece.low,
                        piece.piece.high, false};
    if (duty == 0) {
      copyPanels(block.w(slot, 0), call.chunks.w + headRows * call.K, call.K, call.K, rows);
    } else if (duty == 1) {
      const __nv_bfloat16* const keys = call.keys + (block.b * call.T * call.H + block.h) * call.K;
      copyPanels(block.keys(slot, 0), keys, call.H * call.K, call.K, rows);
    } else if (duty == 2) {
      const int column = 64 * block.firstTile;
      if (column < call.V)
        copyPanels<summaryGroups>(block.values(slot, 0), call.chunks.u + headRows * call.V + column, call.V,
                                  call.V - column, rows);
    } else {
      if (lane == 0) *block.record(slot) = piece.packed();
      const int64_t first = headRows + rows.first;
      for (int row = lane; row < tileTokens; row += 32) {
        if (!diagonal) copyAsync4(factorsAt(slot) + 4 * row, call.chunks.into + first + row, rows.has(row));
        copyAsync4(factorsAt(slot) + 256 + 4 * row, call.chunks.outOf + first + row, rows.has(row));
      }
      for (int i = lane; diagonal && i < 16 * KN; i += 32)
        copyAsync16(gammaAt(slot) + 16 * i, gammaOf(piece) + 4 * i, 4 * i < call.K);
    }
    full.expectCopies();
    __syncwarp();
    if (lane == 0) full.arrive();
  }

  template <int panels = KN>
  __device__ void copyPanels(Tile<64> to, const __nv_bfloat16* from, int pitch, int width,
                             const TileRows& rows) const {
#pragma unroll 1
    for (int panel = 0; panel < panels; panel++) {
#pragma unroll 4
      for (int i = lane; i < tileTokens * 8; i += 32) {
        const int row = i / 8, column = 64 * panel + i % 8 * 8;
        copyAsync16(Tile<64>{to.base + panel * Layout::panel}.address(row, i % 8),
                    from + (rows.first + row) * pitch + column, rows.has(row) && column < width);
      }
    }
  }

  __device__ uint32_t factorsAt(int slot) const {
    return block.stage(slot) + Layout::factors;
  }
  __device__ uint32_t gammaAt(int slot) const {
    return block.stage(slot) + Layout::gamma;
  }
  __device__ const float* gammaOf(const SweepPiece& piece) const {
    return call.chunks.gamma + (block.bh * block.numChunks + piece.piece.chunk) * call.K;
  }
};

}  // namespace longscan
