#pragma once

#include "../sweep/store.cuh"
#include "layout.cuh"

namespace longscan {

/// The warpgroup that stores the adjoint behind each chunk, and counts what the kernel beside may read. Turns
/// and counts are those of sweep/keep.cuh once more: with one class for both, the compiler made other code of
/// either kernel (docs/benchmarks).
class AdjointKeeper {
  using Block = AdjointBlock;
  static constexpr int panels = AdjointLayout::panels;

  const Block& block;
  const DeltaSweepCall& call;
  const int warp;

 public:
  __device__ explicit AdjointKeeper(const Block& block)
      : block(block), call(block.call), warp(threadIdx.x / 32 % 4) {}

  __device__ void run() const {
    int stored = -1;  // the chunk whose state the warp has stored last
    // The chunks that the piece before and the one before that have finished, if this warp is to count them.
    int behind = -1, due = -1;
    bool last = false;
    for (int i = 0; !last; i++) {
      const auto [shown, round] = Block::shownAt(i);
      const int given = Block::givenAt(i).slot;
      block.stateReady(shown).wait(round);
      const SweepPiece next = block.piece(given);
      arriveOfWarp(block.givenFree(given));
      last = next.last;
      // One warp starts the copy engine. They take turns, since the one whose turn it was will wait for the
      // state to have arrived before it counts.
      if (next.piece.opensChunk && (!byEngine() || warp == i % 4)) {
        storeState<panels, wideValues>(block, call.adjoints, number(next.piece.chunk), shown, byEngine());
        stored = next.piece.chunk;
      }
      waitUntilRunsAreRead();
      arriveOfWarp(block.shownFree(shown));
      if (call.finished == nullptr) continue;
      if (due >= 0) {
        // The attendants store a piece's rows before they are through with the next piece, whose end is not
        // waited for before another one has come: the chain waits for this warp, too.
        const auto [before, roundBefore] = Block::shownAt(i - 1);
        block.shownFree(before).wait(roundBefore);
        count(due);
      }
      due = behind;
      behind = next.piece.closesChunk && stored == next.piece.chunk ? stored : -1;
    }
    joinBarrier(block.rowsStored, 256);
    if (due >= 0) count(due);
    if (behind >= 0) count(behind);
  }

 private:
  __device__ bool byEngine() const { return LONGSCAN_COPY_ENGINE && block.maps.usable; }

  __device__ int64_t number(int chunk) const { return block.bh * block.numChunks + chunk; }
  __device__ void count(int chunk) const { countChunk<wideValues>(block, number(chunk), byEngine()); }
};

}  // namespace longscan
