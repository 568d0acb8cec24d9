#pragma once

#include "cuda/warpgroup_wide.cuh"
#include "hold.cuh"

namespace longscan {

/// What the other warps do of kind `contracted`: as `Sweep`, with scores and decays that are ready.
template <int DC, int DO, bool summary>
class DecayedSweep : SweepHold<DC, DO, SweepDecay::contracted, summary> {
  using Hold = SweepHold<DC, DO, SweepDecay::contracted, summary>;
  using typename Hold::Frame;
  using typename Hold::Output;
  using typename Hold::SegmentFactor;
  using Layout = typename Frame::Layout;
  using Frame::at;
  using Frame::call;
  using Frame::decays;
  using Frame::emptied;
  using Frame::endChunk;
  using Frame::firstChunk;
  using Frame::lateEmptied;
  using Frame::lateFilled;
  using Frame::panels;
  using Frame::scores;
  using Frame::stageAfter;
  using Frame::task;
  using Frame::threads;
  using Frame::X;
  using Frame::Y;
  using Frame::Z;
  using Hold::enter;
  using Hold::joinWarpgroup;
  using Hold::keep;
  using Hold::leave;
  using Hold::nextPiece;
  using Hold::state;
  using Output::awaitImage;
  using Output::published;
  using Output::storeColumns;
  using Output::storeImage;

  int latePlace = 0, lateRounds = 0;  // where Y comes late

 public:
  __device__ explicit DecayedSweep(const Frame& frame) : Hold(frame) {}

  __device__ void compute() {
    SegmentFactor factor;
    int stage = 0;
    enter(task.backward ? endChunk() - 1 : firstChunk());
    Piece piece = nextPiece(stage);
    while (piece.chunk >= 0) {
      if constexpr (summary) {
        summarize(piece, stage, factor);
        arriveOfWarp(emptied(stage));
        stage = stageAfter(stage);
        piece = nextPiece(stage);
      } else if (task.backward) {
        read<true, true>(piece, stage);
      } else if (task.images != nullptr) {
        read<false, true>(piece, stage);
      } else {
        read<false, false>(piece, stage);
      }
    }
    leave(factor);
  }

 private:
  /// P after one piece.
  __device__ void summarize(const Piece& piece, int stage, SegmentFactor& factor) {
    noteFactor(piece, stage, factor);
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
    settleState();
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
    for (int p = 0; p < panels; p++) {
      beginProducts();
#pragma unroll
      for (int k = 0; k < 4; k++) multiply<StoredB::columns>(state.P[p], z[k], Y(place, p), k);
      commitProducts();
    }
  }

  /// The output of one piece, and P after it; the next takes the places of `piece` and `stage`. Outputs are
  /// products with P^T and z^T, both in registers: [free channels][tokens]. P is rounded panel by panel, and
  /// decays while products with what it was go on; warpgroups wait for nothing but their inputs. Against time
  /// scores have two terms. `hasImages`: P before every chunk (against time the adjoint after it) is wanted
  /// as an image.
  template <bool backward, bool hasImages>
  __device__ void read(Piece& piece, int& stage) {
    const Piece own = piece;
    if (own.fresh && !backward) clearInBranch();
    // Every piece publishes: what the last image is copied from must have been read.
    if constexpr (hasImages) {
      awaitImage();
      joinWarpgroup();
    }
    Sums out;
    multiplyPanels<hasImages, 0>(out, stage);
    if (hasImages && own.opensChunk) {
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
    settleState();
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
    settleState();
  }

  /// After a wait, or where the compiler is not to go on with what it knows of P.
  __device__ void settleState() {
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

  /// P = gamma P, of one panel. `gamma` is that of the chunk's first piece; in one with a document start,
  /// which meets no older state, it is 1.
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
