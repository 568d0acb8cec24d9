#pragma once

#include "hold.cuh"

namespace longscan {

/// What the other warps do of kind `scalar`: a chunk after the other, from the state that enters the segment
/// to the one that leaves it.
template <int DC, int DO, bool summary>
class Sweep : SweepHold<DC, DO, SweepDecay::scalar, summary> {
  using Hold = SweepHold<DC, DO, SweepDecay::scalar, summary>;
  using Frame = typename Hold::Frame;
  using Output = typename Hold::Output;
  using SegmentFactor = typename Hold::SegmentFactor;
  using Partner = typename Output::Partner;
  using Frame::at;
  using Frame::call;
  using Frame::decays;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::firstChunk;
  using Frame::keptOf;
  using Frame::panels;
  using Frame::stageAfter;
  using Frame::task;
  using Frame::threads;
  using Frame::X;
  using Frame::Y;
  using Frame::Z;
  using Hold::enter;
  using Hold::forget;
  using Hold::joinWarpgroup;
  using Hold::keep;
  using Hold::leave;
  using Hold::nextPiece;
  using Hold::publish;
  using Hold::state;
  using Output::loadPartner;
  using Output::published;
  using Output::storeEnd;
  using Output::storeRows;

 public:
  __device__ explicit Sweep(const Frame& frame) : Hold(frame) {}

  __device__ void compute() {
    SegmentFactor factor;
    int stage = 0;
    enter(task.backward ? endChunk() - 1 : firstChunk());
    Piece piece = nextPiece(stage);
    Sums products;
    if (scoresEarly) {
      startScores(products, stage);
      waitForProducts<0>();
    }
    while (piece.chunk >= 0) {
      if constexpr (summary) {
        summarize(piece, stage, factor);
        const int ownStage = stage;
        stage = stageAfter(stage);
        if (call.stages == 1) arriveOfWarp(emptied(ownStage));
        piece = nextPiece(stage);
        if (call.stages > 1) arriveOfWarp(emptied(ownStage));
      } else {
        read(piece, stage, factor, products);
      }
    }
    leave(factor);
  }

 private:
  __device__ RowDecays rowDecays(int stage) const {
    if (call.g == nullptr) return {decays(stage), 0.0f, false};
    return {decays(stage), loadSharedFloat(decays(stage) + 4 * 64), true};
  }

  __device__ void summarize(const Piece& piece, int stage, SegmentFactor& factor) {
    const RowDecays rows = rowDecays(stage);
    if (task.images != nullptr && piece.opensChunk) keep(piece.chunk);
    if (piece.fresh && !task.backward) state.clear();
    decay(piece, rows, factor);
    MmaA z[4][2];
#pragma unroll
    for (int k = 0; k < 4; k++) loadDecayed(z[k], Z(stage), k, rows, at);
    addTokens(z, stage);
    waitForProducts<0>();
    if (piece.fresh && task.backward) state.clear();
  }

  /// Whether products are under way during the piece before: not where the state takes the registers for
  /// them.
  static constexpr bool scoresEarly = !summary && DC <= 128;

  /// products = x . y of all rows, in the background.
  __device__ void startScores(Sums& products, int stage) const {
    beginProducts();
    multiply<StoredB::rows, false>(products, X(stage, 0), 0, Y(stage, 0), 0);
#pragma unroll
    for (int k = 1; k < DC / 16; k++)
      multiply<StoredB::rows>(products, X(stage, k / 4), k % 4, Y(stage, k / 4), k % 4);
    commitProducts();
  }

  /// out = x P of all rows, in the background.
  __device__ void startOutput(Sums& out, int stage) const {
    beginProducts();
    multiply<StoredB::rows, false>(out, X(stage, 0), 0, published(0), 0);
#pragma unroll
    for (int k = 1; k < DC / 16; k++)
      multiply<StoredB::rows>(out, X(stage, k / 4), k % 4, published(k / 4), k % 4);
    commitProducts();
  }

  /// What P is before: the next chunk of the segment, or -1.
  __device__ int chunkAfter(const Piece& own) const {
    return own.closesChunk && !own.closesWalk ? own.chunk + (task.backward ? -1 : 1) : -1;
  }

  /// The output of one piece, and P after it. The next takes the places of `piece` and `stage`, and with
  /// `scoresEarly` of `products`, which need no state.
  __device__ void read(Piece& piece, int& stage, SegmentFactor& factor, Sums& products) {
    const Piece own = piece;
    if (own.fresh && !task.backward) forget();
    const RowDecays rows = rowDecays(stage);
    const bool meets = task.keptForward != nullptr && own.opensChunk;
    const uint4* const met = keptOf(const_cast<uint4*>(task.keptForward), own.chunk);

    Sums out;
    if (!scoresEarly) startScores(products, stage);
    startOutput(out, stage);

    MmaA z[4][1], within[4];
    if (!scoresEarly) waitForProducts<1>();
    decayScores(products, rows, at);
#pragma unroll
    for (int k = 0; k < 4; k++) within[k] = operandA(products, k);
    typename SweepState<DC>::Kept kept;
    if (meets) state.loadKept(kept, met, threads);
    Partner partner;
    if (task.partner.data != nullptr) loadPartner(partner, own);
    waitForProducts<0>();
    float2 meeting = make_float2(0.0f, 0.0f);
    if (meets) meeting = state.multiplyKept(kept, met, threads);
#pragma unroll
    for (int k = 0; k < 4; k++) loadDecayed(z[k], Z(stage), k, rows, at);
    decay(own, rows, factor);
    if (rows.any) decayRows(out, rows);
    if (meets) storeEnd(own, rows, meeting, out, partner);

    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<StoredB::columns>(out, within[k], Z(stage), k);
    commitProducts();
    addTokens(z, stage);

    const int ownStage = stage;
    stage = stageAfter(stage);
    if (call.stages == 1) {
      waitForProducts<0>();
      arriveOfWarp(emptied(ownStage));
    }
    piece = nextPiece(stage);
    if constexpr (scoresEarly) {
      // At the end of the walk, of rows that are not used.
      startScores(products, stage);
      waitForProducts<1>();
    } else {
      waitForProducts<0>();
    }
    if (call.stages > 1) arriveOfWarp(emptied(ownStage));
    if (own.fresh && task.backward) state.clear();
    // The other warps of this warpgroup have read the P that is replaced.
    joinWarpgroup();
    publish(chunkAfter(own));
    joinWarpgroup();
    // After that: what publishes P would wait until outputs have arrived.
    storeRows(out, own, partner);
    waitForProducts<0>();
  }

  __device__ void decayRows(Sums& out, const RowDecays& rows) const {
    const float upper = rows.upTo(at.row0 + at.group), lower = rows.upTo(at.row0 + at.group + 8);
#pragma unroll
    for (int n = 0; n < 8; n++) {
      out[n][0] *= upper;
      out[n][1] *= upper;
      out[n][2] *= lower;
      out[n][3] *= lower;
    }
  }

  /// P += sum_s (decay after s) z_s y_s^T, in the background; z as decayed already, P = gamma P is done.
  template <int terms>
  __device__ void addTokens(const MmaA (&z)[4][terms], int stage) {
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int term = 0; term < terms; term++)
#pragma unroll
        for (int p = 0; p < panels; p++) multiply<StoredB::columns>(state.P[p], z[k][term], Y(stage, p), k);
    commitProducts();
  }

  /// P = gamma P.
  __device__ void decay(const Piece& piece, const RowDecays& rows, SegmentFactor& factor) {
    factor.reset = factor.reset || piece.fresh;
    if (!rows.any) return;
    factor.log2 += rows.total;
    const float gamma = exp2Approx(rows.total);
    state.each(at, [&](float& value, int, int) { value *= gamma; });
  }
};

}  // namespace longscan
