#pragma once

#include "cuda_lane.cuh"
#include "cuda_sweep_layout.cuh"
#include "cuda_sweep_parts.cuh"

namespace longscan {

/// The warpgroup that does what nobody waits for: the output, or dv, and what is stored of the states.
template <int KN, DeltaRole role, bool diagonal>
class SweepAttendant {
  using Block = SweepBlock<KN, role, diagonal>;

  const Block& block;
  const DeltaSweepCall& call;
  const DeltaLane at;
  const int row0, thread;
  RingPlace operand, part;

 public:
  __device__ explicit SweepAttendant(const Block& block)
      : block(block), call(block.call), row0(16 * (at.warp % 4)), thread(threadIdx.x % 128) {}

  __device__ void run() {
    bool last = false;
    if (Block::backward) turnOutput();
    for (int i = 0; !last; i++) {
      const int shown = i & 1;
      const uint32_t round = i / 2 & 1;
      block.partFull(part.slot).wait(part.round);
      const SweepPiece piece = block.piece(part.slot);
      last = piece.last;
      if constexpr (Block::output) {
        attendOutput(piece.piece, shown, round);
      } else {
        const RingPlace own = part;
        part = own.ahead(1, block.rings.parts);
        if (Block::backward && !last) turnOutput();
        block.stateReady(shown).wait(round);
        if (piece.piece.opensChunk) storeState(piece.piece, shown);
        block.tokensReady(shown).wait(round);
        if constexpr (Block::backward)
          attendGradient(piece.piece, shown, own);
        else
          storeTokens(piece.piece, shown, own);
        continue;
      }
      part = part.ahead(1, block.rings.parts);
      operand = operand.ahead(Block::Layout::operandsPerPiece, block.rings.operands);
    }
  }

 private:
  /// o = scale * into Q S + P N
  __device__ void attendOutput(const Piece& piece, int shown, uint32_t round) const {
    const RingPlace queries = operand.ahead(2, block.rings.operands);
    NarrowSums sum;
    clear(sum);
    block.operandFull(queries.slot).wait(queries.round);
    block.stateReady(shown).wait(round);
    publishToProducts();
    beginProducts();
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiplyChannels<StoredB::rows>(sum, block.operandTile(queries.slot, panel),
                                        block.stateTile(shown, panel), k);
    commitProducts();
    waitForProducts<0>();
    settle(sum);
    block.release(block.operandFree(queries.slot));
    if (!diagonal) {
      const float* const into = block.into(part.slot) + row0 + at.group;
      scaleRows(sum, call.scale * into[0], call.scale * into[8]);
    }
    block.tokensReady(shown).wait(round);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
      multiplyChannels<StoredB::rows>(sum, block.scores(part.slot), block.tokensTile(shown), k);
    commitProducts();
    waitForProducts<0>();
    settle(sum);
    arriveAsWarp(block.shownFree(shown));
    block.release(block.partFree(part.slot));
    storeRows(sum, call.o, piece);
  }

  /// dv = Y^T dN
  __device__ void attendGradient(const Piece& piece, int shown, const RingPlace& own) const {
    NarrowSums sum;
    clear(sum);
    publishToProducts();
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
      multiplyChannels<StoredB::columns>(sum, block.inverse(own.slot), block.tokensTile(shown), k);
    commitProducts();
    waitForProducts<0>();
    settle(sum);
    arriveAsWarp(block.shownFree(shown));
    block.release(block.partFree(own.slot));
    storeRows(sum, call.dv, piece);
  }

  /// N to memory.
  __device__ void storeTokens(const Piece& piece, int shown, const RingPlace& own) const {
    storeColumns(block.tokensTile(shown), row0, call.V - block.value, at,
                 [&](int row) { return placeOf(call.corrections, piece, row); });
    arriveAsWarp(block.shownFree(shown));
    block.release(block.partFree(own.slot));
  }

  __device__ void storeState(const Piece& piece, int shown) const {
    __nv_bfloat16* const to = (Block::backward ? call.adjoints : call.states) +
                              ((block.bh * block.numChunks + piece.chunk) * call.V + block.value) * call.K;
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
      storeChannels(block.stateTile(shown, panel), to + 64 * panel, call.V - block.value, call.K - 64 * panel,
                    call.K, thread);
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
    arriveAsWarp(block.outputsReady(part.slot));
  }

  /// Where a piece's row is stored in [B, T, H, V], or null.
  __device__ __nv_bfloat16* placeOf(__nv_bfloat16* tensor, const Piece& piece, int row) const {
    const int64_t token = block.b * call.T + static_cast<int64_t>(piece.chunk) * tileTokens + row;
    return row >= piece.low && row < piece.high ? tensor + (token * call.H + block.h) * call.V + block.value
                                                : nullptr;
  }

  /// A quad's lanes exchange columns, so that each stores 16 bytes.
  __device__ void storeRows(const NarrowSums& sum, __nv_bfloat16* tensor, const Piece& piece) const {
    const int column = 8 * (at.lane & 3);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      __nv_bfloat16* const to = placeOf(tensor, piece, row0 + at.group + 8 * i);
      uint32_t packed[4];
#pragma unroll
      for (int n = 0; n < 4; n++) packed[n] = pack(sum[n][2 * i], sum[n][2 * i + 1]);
      transposeQuad(packed, at.lane);
      if (to != nullptr && column < call.V - block.value)
        *reinterpret_cast<uint4*>(to + column) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
  }
};

}  // namespace longscan
