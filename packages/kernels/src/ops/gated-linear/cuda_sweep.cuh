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
  using Output::storeColumns;
  using Output::storeEnd;
  using Output::storeImage;
  using Output::storeRows;

  int latePlace = 0, lateRounds = 0;  // where Y comes late

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
        if constexpr (scalar)
          summarize(piece, stage, factor);
        else
          summarizeDecayed(piece, stage, factor);
        const int ownStage = stage;
        stage = stageAfter(stage);
        if (call.stages == 1) arriveOfWarp(emptied(ownStage));
        piece = nextPiece(stage);
        if (call.stages > 1) arriveOfWarp(emptied(ownStage));
      } else {
        if constexpr (scalar)
          read(piece, stage, factor, products);
        else if (task.backward)
          readDecayed<true>(piece, stage);
        else
          readDecayed<false>(piece, stage);
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

  /// The same of kind `contracted`. Panels of P do not meet: while one is multiplied, the next is rounded and
  /// decays.
  __device__ void summarizeDecayed(const Piece& piece, int stage, SegmentFactor& factor) {
    noteFactor(piece, stage, factor);
    if (piece.fresh || task.yRest.data != nullptr || (task.images != nullptr && !piece.opensChunk)) {
      summarizeAlone(piece, stage);
      return;
    }
    MmaA z[4];
    loadTokens(z, stage);
    if (task.images != nullptr) {
      awaitImage();
      joinWarpgroup();
      summarizePanels<true, 0>(z, stage);
      publishToProducts();
      joinWarpgroup();
      storeImage(piece.chunk);
    } else {
      summarizePanels<false, 0>(z, stage);
    }
    waitForProducts<0>();
  }

  /// P's panel p and those after it; the last one's products go on.
  template <bool publishes, int p>
  __device__ void summarizePanels(const MmaA (&z)[4], int stage) {
    if (publishes) state.publishPanel(p, published(p), nullptr, threads, at);
    decayPanel(p, stage);
    waitForProducts<0>();
    addPanel(p, z, stage);
    if constexpr (p + 1 < panels) summarizePanels<publishes, p + 1>(z, stage);
  }

  /// Of a piece of a chunk, or with a second term.
  __device__ void summarizeAlone(const Piece& piece, int stage) {
    if (task.images != nullptr && piece.opensChunk) keep(piece.chunk);
    if (piece.fresh && !task.backward) clearInBranch();
#pragma unroll
    for (int p = 0; p < panels; p++) decayPanel(p, stage);
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
    if (piece.fresh && task.backward) clearInBranch();
  }

  /// z^T of all tokens.
  __device__ void loadTokens(MmaA (&z)[4], int stage) const {
#pragma unroll
    for (int k = 0; k < 4; k++) z[k] = loadATransposed(Z(stage), 16 * k, at.row0, at.lane);
  }

  /// P += the chunk's tokens, in the background, a group for each panel.
  __device__ void addPanels(const MmaA (&z)[4], int place) {
#pragma unroll
    for (int p = 0; p < panels; p++) addPanel(p, z, place);
  }
  __device__ void addPanel(int p, const MmaA (&z)[4], int place) {
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<StoredB::columns>(state.P[p], z[k], Y(place, p), k);
    commitProducts();
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
      waitForProducts<2>();
    } else {
      waitForProducts<1>();
    }
    storeRows(out, own, partner);
    waitForProducts<0>();
    if (call.stages > 1) arriveOfWarp(emptied(ownStage));
    if (own.fresh && task.backward) state.clear();
    // The other warps of this warpgroup have read the P that is replaced.
    joinWarpgroup();
    publish(chunkAfter(own));
    joinWarpgroup();
  }

  /// The same of kind `contracted`, whose scores and decays are ready. Outputs are products with P^T and z^T,
  /// both in registers: [free channels][tokens]. P is rounded panel by panel, and decays while products with
  /// what it was go on; warpgroups wait for nothing but their inputs.
  /// Against time the adjoint after every chunk is wanted as an image, and scores have two terms.
  template <bool backward>
  __device__ void readDecayed(Piece& piece, int& stage) {
    const Piece own = piece;
    if (own.fresh && !backward) clearInBranch();
    const bool hasImage = backward && own.opensChunk;
    if (hasImage) {
      awaitImage();
      joinWarpgroup();
    }
    Sums out;
    multiplyPanels<backward, 0>(out, stage);
    if (hasImage) {
      publishToProducts();
      joinWarpgroup();
      storeImage(own.chunk);
    }
    MmaA z[4];
    loadTokens(z, stage);
    addScored<backward>(out, z, stage);
    int place = stage;
    if constexpr (Layout::lateY) {
      place = latePlace;
      awaitArrivals(lateFilled(place), lateRounds);
      publishToProducts();
    }
    addPanels(z, place);
    waitForProducts<panels>();
    settle(out);
    // The warp's own z is in registers: its place is free.
    storeColumns(out, own, Z(stage));
    publishToProducts();
    waitForProducts<0>();
    arriveOfWarp(emptied(stage));
    if constexpr (Layout::lateY) {
      arriveOfWarp(lateEmptied(place));
      if (++latePlace == call.latePlaces) latePlace = 0, lateRounds++;
    }
    if (own.fresh && backward) clearInBranch();
    stage = stageAfter(stage);
    piece = nextPiece(stage);
  }

  /// P = 0, rarely: the compiler is not to select each number instead.
  __device__ void clearInBranch() {
    state.clear();
#pragma unroll
    for (int p = 0; p < panels; p++) settle(state.P[p]);
  }

  /// out = P^T x^T, P's panel p and those after it; they decay, and as they were go where images are made.
  template <bool publishes, int p>
  __device__ void multiplyPanels(Sums& out, int stage) {
    MmaA rounded[4];
#pragma unroll
    for (int k = 0; k < 4; k++) rounded[k] = operandA(state.P[p], k);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (p == 0 && k == 0)
        multiply<StoredB::rows, false>(out, rounded[k], X(stage, p), k);
      else
        multiply<StoredB::rows>(out, rounded[k], X(stage, p), k);
    commitProducts();
    if (publishes) {
#pragma unroll
      for (int k = 0; k < 4; k++) storeOperandA(published(p), at.row0, k, rounded[k], at.lane);
    }
    decayPanel(p, stage);
    waitForProducts<0>();
    if constexpr (p + 1 < panels) multiplyPanels<publishes, p + 1>(out, stage);
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

  /// out += z^T times scores of [token][query] with time, or of [token][key], in two terms: in the
  /// background.
  template <bool backward>
  __device__ void addScored(Sums& out, const MmaA (&z)[4], int stage) const {
    beginProducts();
#pragma unroll
    for (int term = backward; term >= 0; term--)
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiply<backward ? StoredB::rows : StoredB::columns>(out, z[k], scores(stage, term), k);
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

  /// The same of kind `contracted` and one panel. `gamma` is that of the chunk's first piece; in one with a
  /// document start, which meets no older state, it is 1.
  __device__ void decayPanel(int p, int stage) {
    const uint32_t gamma = decays(stage) + 4 * (64 * p + at.pairOf);
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float2 both = loadSharedFloat2(gamma + 32 * n);
#pragma unroll
      for (int i = 0; i < 4; i++) state.P[p][n][i] *= i % 2 == 0 ? both.x : both.y;
    }
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
