#pragma once

#include "cuda/warpgroup_wide.cuh"
#include "cuda_sweep_hold.cuh"

namespace longscan {

/// What the other warps do: a chunk after the other, from the state that enters the segment to the one that
/// leaves it.
template <int DC, int DO, SweepDecay kind, bool summary>
class Sweep : SweepHold<DC, DO, kind, summary> {
  using Hold = SweepHold<DC, DO, kind, summary>;
  using typename Hold::Frame;
  using typename Hold::Output;
  using typename Hold::SegmentFactor;
  using typename Output::Partner;
  using Layout = typename Frame::Layout;
  using Frame::at;
  using Frame::call;
  using Frame::decays;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::firstChunk;
  using Frame::keptOf;
  using Frame::lateEmptied;
  using Frame::lateFilled;
  using Frame::panels;
  using Frame::scalar;
  using Frame::scores;
  using Frame::stageAfter;
  using Frame::task;
  using Frame::threads;
  using Frame::X;
  using Frame::Y;
  using Frame::Z;
  using Hold::arriveOfWarp;
  using Hold::enter;
  using Hold::forget;
  using Hold::joinWarpgroup;
  using Hold::keep;
  using Hold::leave;
  using Hold::nextPiece;
  using Hold::publish;
  using Hold::state;
  using Output::awaitImage;
  using Output::loadPartner;
  using Output::published;
  using Output::storeEnd;
  using Output::storeImage;
  using Output::storeRows;

  int pieces = 0;  // so far, where Y comes late

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
        if constexpr (scalar)
          read(piece, stage, factor, products);
        else
          readDecayed(piece, stage);
      }
    }
    leave(factor);
  }

 private:
  __device__ RowDecays rowDecays(int stage) const {
    if (!scalar || call.g == nullptr) return {decays(stage), 0.0f, false};
    return {decays(stage), loadSharedFloat(decays(stage) + 4 * 64), true};
  }

  __device__ void summarize(const Piece& piece, int stage, SegmentFactor& factor) {
    const RowDecays rows = rowDecays(stage);
    if constexpr (!scalar) {
      summarizeDecayed(piece, stage, factor);
      return;
    }
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

  /// The same of kind `contracted`.
  __device__ void summarizeDecayed(const Piece& piece, int stage, SegmentFactor& factor) {
    if (task.images != nullptr && piece.opensChunk) keep(piece.chunk);
    if (piece.fresh && !task.backward) state.clear();
    noteFactor(piece, stage, factor);
    decay(piece, stage);
    MmaA z[4];
    loadTokens(z, stage);
    addPanels(z, stage);
    if (task.yRest.data) {
      beginProducts();
#pragma unroll
      for (int p = 0; p < panels; p++)
#pragma unroll
        for (int k = 0; k < 4; k++) multiply<StoredB::columns>(state.P[p], z[k], X(stage, p), k);
      commitProducts();
    }
    waitForProducts<0>();
    if (piece.fresh && task.backward) state.clear();
  }

  /// z^T of all tokens.
  __device__ void loadTokens(MmaA (&z)[4], int stage) const {
#pragma unroll
    for (int k = 0; k < 4; k++) z[k] = loadATransposed(Z(stage), 16 * k, at.row0, at.lane);
  }

  /// P += the chunk's tokens, in the background, a group for each panel.
  __device__ void addPanels(const MmaA (&z)[4], int stage) {
#pragma unroll
    for (int p = 0; p < panels; p++) {
      beginProducts();
#pragma unroll
      for (int k = 0; k < 4; k++) multiply<StoredB::columns>(state.P[p], z[k], Y(stage, p), k);
      commitProducts();
    }
  }

  /// Whether products are under way during the piece before: not where the state takes the registers for
  /// them.
  static constexpr bool scoresEarly = scalar && !summary && DC <= 128;

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

  /// The same of kind `contracted`, whose scores and decays are ready: after P has decayed no product waits
  /// for another, and P is published panel by panel as the last of them end.
  __device__ void readDecayed(Piece& piece, int& stage) {
    const Piece own = piece;
    if (own.fresh && !task.backward) forget();
    Sums out;
    startOutput(out, stage);
    MmaA z[4];
    loadTokens(z, stage);
    waitForProducts<0>();
    decay(own, stage);
    if (task.scoreTerms == 2) addScored(out, stage, 1);
    addScored(out, stage, 0);
    if constexpr (Layout::lateY) {
      awaitArrivals(lateFilled(), pieces++);
      publishToProducts();
    }
    addPanels(z, stage);

    const int ownStage = stage;
    stage = stageAfter(stage);
    if (call.stages == 1) {
      waitForProducts<0>();
      arriveOfWarp(emptied(ownStage));
    }
    piece = nextPiece(stage);
    waitForProducts<panels>();
    settle(out);
    awaitImage();
    // The other warps of this warpgroup have read the P that is replaced.
    joinWarpgroup();
    if (own.fresh && task.backward) {
      waitForProducts<0>();
      state.clear();
      publish(-1);
    } else {
      publishInTurn<0>();
    }
    release(ownStage);
    settle(state.P[panels - 1]);
    state.publishPanel(panels - 1, published(panels - 1), nullptr, threads, at);
    publishToProducts();
    joinWarpgroup();
    const int next = chunkAfter(own);
    if (task.images != nullptr && next >= 0) storeImage(next);
    // After that: what publishes P would wait until outputs have arrived.
    storeRows(out, own, {});
  }

  /// P from panel p on but the last, each when its products have ended.
  template <int p>
  __device__ void publishInTurn() {
    waitForProducts<panels - 1 - p>();
    if constexpr (p + 1 < panels) {
      settle(state.P[p]);
      state.publishPanel(p, published(p), nullptr, threads, at);
      publishInTurn<p + 1>();
    }
  }

  /// All products have ended.
  __device__ void release(int stage) const {
    waitForProducts<0>();  // none is left; of branches the compiler does not know
    if (call.stages > 1) arriveOfWarp(emptied(stage));
    if constexpr (Layout::lateY) arriveOfWarp(lateEmptied());
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

  /// out += scores z, in the background.
  __device__ void addScored(Sums& out, int stage, int term) const {
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<StoredB::columns>(out, scores(stage, term), k, Z(stage), k);
    commitProducts();
  }

  /// P = gamma P, of kind `scalar`.
  __device__ void decay(const Piece& piece, const RowDecays& rows, SegmentFactor& factor) {
    factor.reset = factor.reset || piece.fresh;
    if (!rows.any) return;
    factor.log2 += rows.total;
    const float gamma = exp2Approx(rows.total);
    state.each(at, [&](float& value, int, int) { value *= gamma; });
  }

  /// The same of kind `contracted`. `gamma` is that of the chunk's first piece. One with a document start
  /// meets no older state.
  __device__ void decay(const Piece& piece, int stage) {
    if (piece.fresh) return;
    const uint32_t gamma = decays(stage);
    float2 both;
    state.eachPair([&](float& x, float& y, bool isLower, int column) {
      if (!isLower) both = loadSharedFloat2(gamma + 4 * (column + at.pairOf));
      x *= both.x;
      y *= both.y;
    });
  }

  __device__ void noteFactor(const Piece& piece, int stage, SegmentFactor& factor) const {
    factor.reset = factor.reset || piece.fresh;
    if (piece.fresh) return;
    const uint32_t gamma = decays(stage);
    if (threadIdx.x < DC) factor.channel[0] *= loadSharedFloat(gamma + 4 * threadIdx.x);
    if (DC > threads) factor.channel[1] *= loadSharedFloat(gamma + 4 * (threadIdx.x + threads));
  }
};

}  // namespace longscan
