#pragma once

#include "../chunkwise/lane.cuh"
#include "../chunkwise/split.cuh"
#include "../sweep/wide_products.cuh"
#include "layout.cuh"

namespace longscan {

template <int KN, bool diagonal>
class SummaryChain;

#if LONGSCAN_WGMMA

/// A warpgroup with 64 columns of [E M], as the wide chain of the sweeps has 64 of S: transposed, in the sums
/// of its products, [64 columns, 64 of K] each. `Nᵀ = Uᵀ - Sᵀ Wᵀ`, `Sᵀ' = gamma Sᵀ + (outOf N)ᵀ K`, where
/// columns of M have no U. W, U and K are the numbers that outputs are computed from; S and N, over which
/// errors add up, are multiplied in two bf16 terms.
template <int KN, bool diagonal>
class SummaryChain {
  using Block = SummaryBlock<KN>;

  const Block& block;
  const DeltaSummaryCall& call;
  const DeltaLane at;
  const int group;
  const int tile;
  const bool isFactor;
  Sums state[KN];
  SplitA held[2][2];  // half a panel of the state each

 public:
  __device__ SummaryChain(const Block& block, int group)
      : block(block),
        call(block.call),
        group(group),
        tile(block.firstTile + group),
        isFactor(block.isFactor(tile)) {}

  __device__ void run() {
    eachElement(
        [&](float& element, int row, int channel) { element = isFactor && row == channel ? 1.0f : 0.0f; });
    Sums n;
    RingPlace stage;
    block.full(0).wait(0);
    SweepPiece piece = block.piece(0);
    block.seeCopies(piece.piece);
    bool starts = piece.piece.fresh;
    if (starts) forget();
    multiplyState(n, 0, false);
    decayState(0, piece.piece, false);
    waitForProducts<0>();
    settle(n);
    for (;;) {
      SplitA written[4];
      const int used = stage.slot;
      takeWritten(written, n, used);
      addToState(written, used);

      // What follows the last piece is that piece's once more, and its products are for nothing: a branch
      // would make all of them wait.
      const bool last = piece.last, forgets = piece.nextFresh;
      starts |= forgets;
      if (!last) {
        stage = stage.ahead(1, block.stages);
        block.full(stage.slot).wait(stage.round);
        piece = block.piece(stage.slot);
        block.seeCopies(piece.piece);
      }
      multiplyState(n, stage.slot, forgets);
      decayState(stage.slot, piece.piece, last);
      arriveOfWarp(block.free(used));
      waitForProducts<0>();
      settle(n);
      if (last) break;
    }
    store();
    if (tile == 0 && threadIdx.x % 128 == 0) call.starts[block.segment * call.B * call.H + block.bh] = starts;
  }

 private:
  /// Starts n = Sᵀ Wᵀ, half a panel at a time, as the state's own products end.
  template <int half = 0>
  __device__ void multiplyState(Sums& n, int slot, bool forgets) {
    constexpr int panel = half / 2, first = half % 2 * 2;
    SplitA(&operands)[2] = held[half % 2];
    // Of the four panels of K = 256 there are no registers for N's operands beside these.
    if constexpr (half == 0) waitForProducts<KN <= 2 ? KN - 1 : 0>();
    if constexpr (half >= 2) waitForProducts<1>();
    if constexpr (half % 2 == 0) {
      settle(state[panel]);
      clearIf(state[panel], forgets);
    }
#pragma unroll
    for (int k = 0; k < 2; k++) splitColumns(operands[k], state[panel], first + k);
    beginProducts();
    multiplyHeld<StoredB::rows, false, half != 0>(n, operands[0].low, block.w(slot, panel), first);
    multiplyHeld<StoredB::rows>(n, operands[0].high, block.w(slot, panel), first);
    multiplyHeld<StoredB::rows>(n, operands[1].low, block.w(slot, panel), first + 1);
    multiplyHeld<StoredB::rows>(n, operands[1].high, block.w(slot, panel), first + 1);
    commitProducts();
    if constexpr (half + 1 < 2 * KN) multiplyState<half + 1>(n, slot, forgets);
  }

  /// (outOf (U - n))ᵀ over the piece's tokens as first operand.
  __device__ void takeWritten(SplitA (&written)[4], const Sums& n, int slot) const {
    ColumnFactors outOf;
    outOf.take(block.outOf(slot));
#pragma unroll
    for (int k = 0; k < 4; k++) {
      MmaA u{};
      if (!isFactor) u = holdColumns(block.values(slot, group), k);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float* const sums = n[2 * k + i / 2] + i % 2 * 2;
        const float2 factor = outOf.of[2 * k + i / 2];
        written[k].set(i, (lowHalf(u.x[i]) - sums[0]) * factor.x, (highHalf(u.x[i]) - sums[1]) * factor.y);
      }
    }
  }

  /// Starts Sᵀ += A K.
  __device__ void addToState(const SplitA (&a)[4], int slot) {
    beginProducts();
#pragma unroll
    for (int panel = 0; panel < KN; panel++) {
#pragma unroll
      for (int k = 0; k < 4; k++) {
        multiplyHeld<StoredB::columns>(state[panel], a[k].low, block.keys(slot, panel), k);
        multiplyHeld<StoredB::columns>(state[panel], a[k].high, block.keys(slot, panel), k);
      }
      commitProducts();
    }
  }

  /// Columns [16 step, 16 step + 16) of sums in two terms.
  __device__ static void splitColumns(SplitA& a, const Sums& sum, int step) {
#pragma unroll
    for (int i = 0; i < 4; i++)
      a.set(i, sum[2 * step + i / 2][i % 2 * 2], sum[2 * step + i / 2][i % 2 * 2 + 1]);
  }

  __device__ void forget() {
#pragma unroll
    for (int panel = 0; panel < KN; panel++) clear(state[panel]);
  }

  /// Not after the last piece, which the state leaves as it is.
  __device__ void decayState(int slot, const Piece& piece, bool last) {
    if constexpr (diagonal) {
      // `gamma` is that of the chunk's first piece. One with a document start meets no older state.
      const bool stays = piece.fresh || last;
#pragma unroll
      for (int panel = 0; panel < KN; panel++) {
        ColumnFactors gamma;
        gamma.take(block.gamma(slot) + 64 * panel);
#pragma unroll
        for (int n = 0; n < 8; n++) gamma.of[n] = stays ? make_float2(1.0f, 1.0f) : gamma.of[n];
        scaleColumns(state[panel], gamma);
      }
    } else {
      const float gamma = last ? 1.0f : block.into(slot)[piece.high - 1];
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int i = 0; i < 32; i++) state[panel][i / 4][i % 4] *= gamma;
    }
  }

  /// visit(element, row, channel) for what the thread has of the transposed state; the row among those of V,
  /// or of K for columns of M.
  template <typename Visit>
  __device__ void eachElement(Visit&& visit) {
    const int row0 = 64 * (isFactor ? tile - summaryTiles(call.V) : tile) + 16 * (at.warp % 4) + at.group;
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
#pragma unroll
      for (int i = 0; i < 32; i++)
        visit(state[panel][i / 4][i % 4], row0 + 8 * (i % 4 / 2),
              64 * panel + 8 * (i / 4) + at.pairOf + i % 2);
  }

  __device__ void store() {
    const int rows = isFactor ? call.K : call.V;
    const int64_t head = block.segment * call.B * call.H + block.bh;
    float* const to = (isFactor ? call.factors : call.states) + head * rows * call.K;
    eachElement([&](float& element, int row, int channel) {
      if (row < rows && channel < call.K) to[static_cast<int64_t>(row) * call.K + channel] = element;
    });
  }
};

#endif

}  // namespace longscan
