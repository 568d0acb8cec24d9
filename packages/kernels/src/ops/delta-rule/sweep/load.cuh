#pragma once

#include "cuda/dependent.cuh"
#include "layout.cuh"
#include "rows.cuh"

namespace longscan {

/// The warpgroup that fills the rings, piece by piece.
template <int KN, SweepKind kind, bool diagonal, int width>
class SweepLoader {
  using Block = SweepBlock<KN, kind, diagonal, width>;
  static constexpr bool backward = Block::backward, takesInverse = backward && !Block::leaves;
  using Layout = typename Block::Layout;

  const Block& block;
  const DeltaSweepCall& call;
  const int lane;
  const int pitchK, pitchV;
  const int64_t headK, headV, headRows;
  RingPlace operand, part;
  int prepared = 0;    // chunks that are known to be
  bool whole = false;  // whether the copy engine takes the piece

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

  /// Each of the four warps has one of the things that a piece needs.
  __device__ void run() {
    const int duty = (threadIdx.x >> 5) % 4 - 1;
    const SweepMaps& maps = block.maps;
    const __nv_bfloat16* const keys = (diagonal ? call.chunks.writeKeys : call.k) + headK;
    const __nv_bfloat16* const queries = (diagonal ? call.chunks.queries : call.q) + headK;
    const __nv_bfloat16* const w = call.chunks.w + headRows * call.K;
    PieceWalk walk = block.walk(backward);
    operand.slot = max(duty, 0);
    while (!walk.done()) {
      SweepPiece piece{walk.piece()};
      walk.advance();
      piece.last = walk.done();
      piece.nextFresh = !piece.last && walk.piece().fresh;
      const TileRows rows{static_cast<int64_t>(piece.piece.chunk) * tileTokens, piece.piece.low,
                          piece.piece.high, false};
      whole = block.isWhole(piece.piece);
      waitUntilPrepared(piece.piece.chunk);
      if (duty < 0 && piece.piece.opensChunk) keepTogether(piece.piece.chunk);
      // So that no warp is a round of the ring ahead of another, whose slots it takes for its own then.
      joinBarrier(3, 32 * (1 + Layout::operandsPerPiece));
      // In the order in which the chain uses them up: W, keys, queries, or keys, queries, W.
      if (duty < 0)
        fillPart(piece, rows);
      else if (duty == (backward ? 2 : 0))
        fillOperand(maps.w, 0, block.bh, w, call.K, rows);
      else if (duty == (backward ? 0 : 1))
        fillOperand(maps.keys, block.h, block.b, keys, pitchK, rows);
      else
        fillOperand(maps.queries, block.h, block.b, queries, pitchK, rows);
    }
  }

 private:
  /// Looks at 32 chunks at a time.
  __device__ void waitUntilPrepared(int chunk) {
    if (backward || call.chunks.prepared == nullptr || chunk < prepared) return;
    const int32_t* const counts = call.chunks.prepared + block.bh * block.numChunks;
    unsigned there;
    do {
      there = __ballot_sync(~0u, chunk + lane < block.numChunks && countedParts(counts + chunk + lane) > 0);
    } while ((there & 1) == 0);
    prepared = chunk + (~there == 0 ? 32 : __ffs(~there) - 1);
    __syncwarp();
    passCountsToCopies();
  }

  /// Waits for the head's other blocks, if one is more than `stride` chunks behind: what a block loads is in
  /// the L2 cache for the others only for a while. Blocks that had drifted apart loaded more from memory, and
  /// stayed behind those who prepare. All blocks are on the device, or will be without this one's help.
  __device__ void keepTogether(int chunk) const {
    constexpr int stride = 8;  // chunks
    if (backward || call.chunks.prepared == nullptr || chunk % stride != 0) return;
    if (electLane()) {
      const int heads = static_cast<int>(call.B) * call.H;
      int32_t* const steps =
          call.chunks.prepared + heads * static_cast<int64_t>(block.numChunks) + 1 + block.bh;
      const int wanted = chunk / stride * (gridDim.x / static_cast<unsigned>(heads));
      atomicAdd(steps, 1);
      while (*static_cast<volatile int32_t*>(steps) < wanted) {
      }
    }
    __syncwarp();
  }

  __device__ int token(const TileRows& rows) const { return static_cast<int>(rows.first); }

  /// `from`: the first row of the block's head; `head` and `batch` where it lies in `map`.
  __device__ void fillOperand(const CUtensorMap& map, int head, int batch, const __nv_bfloat16* from,
                              int pitch, const TileRows& rows) {
    block.operandFree(operand.slot).wait(operand.round ^ 1);
    copyOperand<KN>(call, whole, block.operandFull(operand.slot), block.operand(operand.slot), map, head,
                    batch, from, pitch, rows);
    operand = operand.ahead(Layout::operandsPerPiece, block.rings.operands);
  }

  __device__ void fillPart(const SweepPiece& piece, const TileRows& rows) {
    const int slot = part.slot;
    const SweepBarrier full = block.partFull(slot);
    block.partFree(slot).wait(part.round ^ 1);
    const uint32_t factors = block.part(slot) + Layout::factors, gamma = block.part(slot) + Layout::gamma;
    if (electLane()) *block.record(slot) = piece.packed();
    // Channels that are not there, which the copy engine leaves out: their zeros are multiplied all the same.
    for (int i = call.K + lane; diagonal && whole && i < 64 * KN; i += 32) storeShared(gamma + 4 * i, 0.0f);
    __syncwarp();
    const float* const into = call.chunks.into + headRows + rows.first;
    const float* const outOf = call.chunks.outOf + headRows + rows.first;
    const float* const decays = call.chunks.gamma + (block.bh * block.numChunks + piece.piece.chunk) * call.K;
    if (whole) {
      if (electLane()) {
        constexpr int tiles = Layout::outputs - (Block::leaves ? Layout::panel : 0);
        arriveExpecting(full, tiles + (diagonal ? 256 + 4 * call.K : 512));
        copyBox(block.scores(slot).base, block.maps.scores, full.address, 0, 0, token(rows), block.bh);
        if (takesInverse)
          copyBox(block.inverse(slot).base, block.maps.inverse, full.address, 0, 0, token(rows), block.bh);
        copyBox(block.values(slot).base, block.maps.values, full.address, block.value, backward ? block.h : 0,
                token(rows), backward ? block.b : block.bh);
        if (diagonal)
          copyRun(gamma, decays, 4 * call.K, full.address);
        else
          copyRun(factors, into, 256, full.address);
        copyRun(factors + 256, outOf, 256, full.address);
      }
      __syncwarp();
    } else {
      copyRows(block.scores(slot), call.chunks.scores + headRows * 64, 64, 64, rows);
      if (takesInverse) copyRows(block.inverse(slot), call.chunks.inverse + headRows * 64, 64, 64, rows);
      if (backward) {
        copyRows(block.values(slot), call.dO + headV + block.value, pitchV, call.V - block.value, rows);
      } else {
        copyRows(block.values(slot), call.chunks.u + headRows * call.V + block.value, call.V,
                 call.V - block.value, rows);
      }
      for (int row = lane; row < tileTokens; row += 32) {
        if (!diagonal) copyAsync4(factors + 4 * row, into + row, rows.has(row));
        copyAsync4(factors + 256 + 4 * row, outOf + row, rows.has(row));
      }
      for (int i = lane; diagonal && i < 16 * KN; i += 32)
        copyAsync16(gamma + 16 * i, decays + 4 * i, 4 * i < call.K);
      announceCopies(full);
    }
    part = part.ahead(1, block.rings.parts);
  }
};

}  // namespace longscan
