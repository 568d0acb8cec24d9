#pragma once

#include "store.cuh"

namespace longscan {

/// The warpgroup that stores what other kernels need of each chunk: the state before it and N, or the adjoint
/// behind it.
template <int KN, SweepKind kind, bool diagonal, int width>
class SweepKeeper {
  using Block = SweepBlock<KN, kind, diagonal, width>;
  static constexpr bool backward = Block::backward;
  /// A chunk is counted when the piece after the next is shown: the chain waits for this warp, too, which
  /// would wait for the end of the next piece. Narrow sweeps were 1 % faster without.
  static constexpr bool countsLater = width == wideValues;

  const Block& block;
  const DeltaSweepCall& call;
  const DeltaLane at;
  RingPlace part;

 public:
  __device__ explicit SweepKeeper(const Block& block) : block(block), call(block.call) {}

  __device__ void run() {
    if constexpr (Block::leaves) return;
    bool last = false;
    int stored = -1;  // the chunk whose state the warp has stored last
    int behind = -1;  // the chunk that the piece before has finished, if this warp is to count it
    int due = -1;     // the one that it counts next
    for (int i = 0; !last; i++) {
      const auto [shown, round] = Block::shownAt(i);
      block.partFull(part.slot).wait(part.round);
      const SweepPiece next = block.piece(part.slot);
      block.release(block.partFree(part.slot));
      part = part.ahead(1, block.rings.parts);
      last = next.last;
      block.stateReady(shown).wait(round);
      // One warp starts the copy engine. They take turns, since the one whose turn it was will wait for the
      // state to have arrived before it counts.
      if (next.piece.opensChunk && (!byEngine() || at.warp % 4 == i % 4)) {
        storeState<KN, width>(block, backward ? call.adjoints : call.states, number(next.piece.chunk), shown,
                              byEngine());
        stored = next.piece.chunk;
      }
      if (!backward) {
        block.tokensReady(shown).wait(round);
        storeTokens(next.piece, shown);
      }
      waitUntilRunsAreRead();
      arriveOfWarp(block.shownFree(shown));
      if (!backward || call.finished == nullptr) continue;
      if (!countsLater) due = behind;
      if (due >= 0) {
        // The attendants store a piece's rows before they are through with the next piece.
        const auto [after, roundAfter] = Block::shownAt(countsLater ? i - 1 : i);
        block.shownFree(after).wait(roundAfter);
        count(due);
      }
      due = countsLater ? behind : -1;
      behind = next.piece.closesChunk && stored == next.piece.chunk ? stored : -1;
    }
    if (!backward) return;
    joinBarrier(block.rowsStored, 256);
    if (due >= 0) count(due);
    if (behind >= 0) count(behind);
  }

 private:
  /// Whether the copy engine stores states. With K > 128 forward sweeps have been faster without.
  __device__ bool byEngine() const {
    return LONGSCAN_COPY_ENGINE && block.maps.usable && (backward || KN <= 2);
  }

  /// Of the head's chunk among all.
  __device__ int64_t number(int chunk) const { return block.bh * block.numChunks + chunk; }
  __device__ void count(int chunk) const { countChunk<width>(block, number(chunk), byEngine()); }

  /// N, where U was.
  __device__ void storeTokens(const Piece& piece, int shown) const {
    const int64_t first = (block.bh * block.numChunks + piece.chunk) * tileTokens;
    storeColumns<width>(block.tokensTile(shown), 16 * (at.warp % 4), call.V - block.value, at, [&](int row) {
      return row >= piece.low && row < piece.high ? call.chunks.u + (first + row) * call.V + block.value
                                                  : nullptr;
    });
  }
};

}  // namespace longscan
