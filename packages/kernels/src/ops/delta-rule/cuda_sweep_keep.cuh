#pragma once

#include "cuda/dependent.cuh"
#include "cuda_lane.cuh"
#include "cuda_sweep_layout.cuh"
#include "cuda_sweep_parts.cuh"

namespace longscan {

/// The warpgroup that stores what other kernels need of each chunk: the state before it and N, or the adjoint
/// behind it.
template <int KN, bool backward, bool diagonal>
class SweepKeeper {
  using Block = SweepBlock<KN, backward, diagonal>;

  const Block& block;
  const DeltaSweepCall& call;
  const DeltaLane at;
  RingPlace part;

 public:
  __device__ explicit SweepKeeper(const Block& block) : block(block), call(block.call) {}

  __device__ void run() {
    int stored = -1;  // chunk
    bool last = false;
    for (int i = 0; !last; i++) {
      const int shown = i & 1;
      const uint32_t round = i / 2 & 1;
      block.partFull(part.slot).wait(part.round);
      const SweepPiece next = block.piece(part.slot);
      block.release(block.partFree(part.slot));
      part = part.ahead(1, block.rings.parts);
      last = next.last;
      block.stateReady(shown).wait(round);
      if (next.piece.opensChunk) {
        block.countStored(stored);
        storeState(next.piece, shown);
        stored = next.piece.chunk;
      }
      if (!backward) {
        block.tokensReady(shown).wait(round);
        storeTokens(next.piece, shown);
      }
      arriveAsWarp(block.shownFree(shown));
    }
    block.countStored(stored);
  }

 private:
  __device__ void storeState(const Piece& piece, int shown) const {
    __nv_bfloat16* const to = (backward ? call.adjoints : call.states) +
                              ((block.bh * block.numChunks + piece.chunk) * call.V + block.value) * call.K;
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
      storeChannels(block.stateTile(shown, panel), to + 64 * panel, call.V - block.value, call.K - 64 * panel,
                    call.K, threadIdx.x % 128);
  }

  /// N, where U was.
  __device__ void storeTokens(const Piece& piece, int shown) const {
    const int64_t first = (block.bh * block.numChunks + piece.chunk) * tileTokens;
    storeColumns(block.tokensTile(shown), 16 * (at.warp % 4), call.V - block.value, at, [&](int row) {
      return row >= piece.low && row < piece.high ? call.chunks.u + (first + row) * call.V + block.value
                                                  : nullptr;
    });
  }
};

}  // namespace longscan
