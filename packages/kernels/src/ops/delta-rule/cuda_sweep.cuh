#pragma once

#include "cuda_sweep.h"
#include "cuda_sweep_layout.cuh"

namespace longscan {

namespace {

/// One block: 64 channels of V of one head, all of its chunks in turn. The second warpgroup has the chain
/// that every chunk waits for: the state lies transposed in the accumulators of its products, and an
/// accumulator's layout is that of a first operand, so nothing of the chain passes through shared memory. The
/// first warpgroup does what nobody waits for: it loads, reads the state for the output, and stores.
template <int KN, DeltaRole role, bool diagonal>
class DeltaSweep {
  using Layout = DeltaSweepLayout<KN, role, diagonal>;
  static constexpr bool backward = role == DeltaRole::adjoint, output = role == DeltaRole::output;
  /// Whether registers hold the state as operands besides; else products read them from shared memory.
  static constexpr bool held = KN <= 2;
  enum Barrier { tokensReady = 1, stateRead = 2 };

  /// A piece's output, until there is time to store it.
  struct Output {
    WarpSums sum;
    Piece piece{};
  };

  const DeltaSweepCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const DeltaLane at;
  const int row0;
  int b, h, numChunks, value;
  int64_t bh;
  WarpSums state[KN];
  MmaA own[held ? KN : 1][4];

 public:
  __device__ DeltaSweep(const DeltaSweepCall& call, unsigned char* shared)
      : call(call),
        shared(shared),
        base(sharedAddress(shared)),
        row0(16 * (at.warp % 4)),
        numChunks(static_cast<int>((call.T + tileTokens - 1) / tileTokens)) {
    const int tiles = (call.V + sweepValues - 1) / sweepValues;
    value = blockIdx.x % tiles * sweepValues;
    bh = blockIdx.x / tiles;
    b = static_cast<int>(bh / call.H);
    h = static_cast<int>(bh % call.H);
  }

  /// The first warpgroup.
  __device__ void serve() {
    PieceWalk ahead(call.resets ? call.resets + b * call.T : nullptr, call.T, 0, numChunks, backward);
    int numFilled = 0;
    const auto tellPiece = [&] {
      const int2 packed = ahead.done() ? make_int2(-1, 0) : packPiece(ahead.piece());
      if (threadIdx.x == 0) pieces()[numFilled % Layout::numPieces] = packed;
    };
    const auto fillNext = [&](int stage) {
      if (!ahead.done()) {
        fillStage<KN, role, diagonal>(call, ahead.piece(), bh, value, tile(stage, 0).base);
        ahead.advance();
        numFilled++;
        tellPiece();
      }
      commitCopies();
    };
    tellPiece();
    for (int stage = 0; stage + 1 < Layout::numStages; stage++) fillNext(stage);
    __syncthreads();
    Output last;
    last.sum.clear();
    for (int i = 0, stage = 0; pieceOf(i).chunk >= 0; i++) {
      if (Layout::numStages == 1) fillNext(0);
      waitForCopies<(Layout::numStages > 2 ? Layout::numStages - 2 : 0)>();
      publishToProducts();
      __syncthreads();
      const int free = stage == 0 ? Layout::numStages - 1 : stage - 1;
      attend(pieceOf(i), stage, last, [&] {
        if (Layout::numStages > 1) fillNext(free);
      });
      if (Layout::numStages == 1) __syncthreads();
      stage = stage + 1 == Layout::numStages ? 0 : stage + 1;
    }
    if (output) storeOutput(last);
  }

  /// The second warpgroup.
  __device__ void chain() {
    const float* incoming = backward ? call.dht : call.h0;
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
      state[panel].load(incoming ? incoming + place(bh, panel) : nullptr, restV(), restK(panel), call.K, at);
    __syncthreads();
    if (!backward && pieceOf(0).fresh) forget();
    showState();
    for (int i = 0, stage = 0; pieceOf(i).chunk >= 0; i++) {
      publishToProducts();
      __syncthreads();
      const Piece piece = pieceOf(i);
      if constexpr (backward)
        stepBack(piece, stage);
      else
        step(piece, stage);
      joinBarrier(stateRead, sweepThreads);
      if (backward ? piece.fresh : pieceOf(i + 1).fresh) forget();
      showState();
      if (Layout::numStages == 1) __syncthreads();
      stage = stage + 1 == Layout::numStages ? 0 : stage + 1;
    }
    float* outgoing = output ? call.ht : backward ? call.dh0 : nullptr;
    if (outgoing == nullptr) return;
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
      state[panel].store(outgoing + place(bh, panel), restV(), restK(panel), call.K, at);
  }

 private:
  __device__ Tile<64> tile(int stage, int offset) const {
    return {base + stage * Layout::stage + offset};
  }
  __device__ Tile<64> stateTile(int panel) const {
    return {base + Layout::state + panel * Layout::panel};
  }
  /// N, or Z; transposed.
  __device__ Tile<64> tokensTile() const {
    return {base + Layout::tokens};
  }
  __device__ int2* pieces() const {
    return reinterpret_cast<int2*>(shared + Layout::pieces);
  }
  __device__ Piece pieceOf(int i) const {
    return unpackPiece(const_cast<const volatile int2*>(pieces())[i % Layout::numPieces]);
  }
  __device__ const float* factors(int stage, int offset) const {
    return reinterpret_cast<const float*>(shared + stage * Layout::stage + offset);
  }
  __device__ const float* into(int stage) const {
    return factors(stage, Layout::factors);
  }
  __device__ const float* outOf(int stage) const {
    return into(stage) + 64;
  }

  __device__ int firstV() const {
    return value + row0;
  }
  __device__ int restV() const {
    return call.V - firstV();
  }
  __device__ int restK(int panel) const {
    return call.K - 64 * panel;
  }
  /// Of the warp's first element of a panel, in the `index`th of states [.., V, K].
  __device__ int64_t place(int64_t index, int panel) const {
    return (index * call.V + firstV()) * call.K + 64 * panel;
  }
  /// Where a piece's row is stored in [B, T, H, V], or null.
  __device__ __nv_bfloat16* placeOf(__nv_bfloat16* tensor, const Piece& piece, int row) const {
    const int64_t token = b * call.T + static_cast<int64_t>(piece.chunk) * tileTokens + row;
    return row >= piece.low && row < piece.high ? tensor + (token * call.H + h) * call.V + value : nullptr;
  }

  __device__ void storeOutput(const Output& out) const {
    storeRows(out.sum.x, row0, call.V - value, at, [&](int row) { return placeOf(call.o, out.piece, row); });
  }

  /// Output, or what is stored, of one piece. First what leaves the tensor cores to the chain, whose products
  /// are waited for; `fillNext` is a part of it.
  template <typename FillNext>
  __device__ void attend(const Piece& piece, int stage, Output& out, FillNext&& fillNext) const {
    if constexpr (output) {
      storeOutput(out);
      fillNext();
      WarpSums& sum = out.sum;
      sum.clear();
      beginProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          multiply<StoredB::rows>(sum.x, tile(stage, Layout::queries + panel * Layout::panel), k,
                                  stateTile(panel), k);
      commitProducts();
      waitForProducts<0>();
      announceAtBarrier(stateRead, sweepThreads);
      if (!diagonal) {
        const float near = call.scale * into(stage)[row0 + at.group];
        const float far = call.scale * into(stage)[row0 + at.group + 8];
#pragma unroll
        for (int i = 0; i < 32; i++) sum.x[i / 4][i % 4] *= i % 4 < 2 ? near : far;
      }
      joinBarrier(tokensReady, sweepThreads);
      beginProducts();
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiply<StoredB::rows>(sum.x, tile(stage, Layout::scores), k, tokensTile(), k);
      commitProducts();
      out.piece = piece;
      waitForProducts<0>();
    } else {
      __nv_bfloat16* const states = backward ? call.adjoints : call.states;
      const int64_t chunk = (bh * numChunks + piece.chunk) * call.V + value;
      if (piece.opensChunk)
#pragma unroll
        for (int panel = 0; panel < KN; panel++)
          storeTile(stateTile(panel), states + chunk * call.K + 64 * panel, call.V - value, restK(panel),
                    call.K, threadIdx.x);
      announceAtBarrier(stateRead, sweepThreads);
      fillNext();
      joinBarrier(tokensReady, sweepThreads);
      storeColumns(tokensTile(), row0, call.V - value, at,
                   [&](int row) { return placeOf(backward ? call.dv : call.corrections, piece, row); });
    }
  }

  __device__ void forget() {
#pragma unroll
    for (int panel = 0; panel < KN; panel++) state[panel].clear();
  }

  __device__ void decayState(int stage, const Piece& piece) {
#pragma unroll
    for (int panel = 0; panel < KN; panel++) {
      if constexpr (diagonal) {
        // `gamma` is that of the chunk's first piece. One with a document start meets no older state.
        if (!piece.fresh) state[panel].scaleColumns(factors(stage, Layout::gamma) + 64 * panel, at.pairOf);
      } else {
        state[panel].scale(into(stage)[piece.high - 1]);
      }
    }
  }

  /// The state, rounded, to shared memory.
  __device__ void showState() {
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const MmaA operand = operandA(state[panel].x, k);
        if (held) own[panel][k] = operand;
        storeOperandA(stateTile(panel), row0, k, operand, at.lane);
      }
  }
  __device__ void showTokens(const WarpSums& sum) const {
#pragma unroll
    for (int k = 0; k < 4; k++) storeOperandA(tokensTile(), row0, k, operandA(sum.x, k), at.lane);
    publishToProducts();
    announceAtBarrier(tokensReady, sweepThreads);
  }

  /// v or dO, transposed, as an accumulator holds it and as first operand over tokens [16 k, 16 k + 16).
  __device__ MmaA values(int stage, int k) const {
    return loadATransposed(tile(stage, Layout::values), 16 * k, row0, at.lane);
  }

  /// sum += state rows^T, for keys of a stage.
  __device__ void readState(WarpSums& sum, int stage, int offset) const {
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const Tile<64> rows = tile(stage, offset + panel * Layout::panel);
        if constexpr (held)
          multiply<StoredB::rows>(sum.x, own[panel][k], rows, k);
        else
          multiply<StoredB::rows>(sum.x, stateTile(panel), k, rows, k);
      }
  }

  /// state += written^T rows
  __device__ void writeState(const MmaA (&written)[4], int stage, int offset) {
#pragma unroll
    for (int panel = 0; panel < KN; panel++)
#pragma unroll
      for (int k = 0; k < 4; k++)
        multiply<StoredB::columns>(state[panel].x, written[k], tile(stage, offset + panel * Layout::panel),
                                   k);
  }

  /// With time.
  __device__ void step(const Piece& piece, int stage) {
    WarpSums x, n;
    x.clear();
    beginProducts();
    readState(x, stage, 0);
    commitProducts();
    n.clear();
    decayState(stage, piece);
    MmaA v[4];
#pragma unroll
    for (int k = 0; k < 4; k++) v[k] = values(stage, k);
    waitForProducts<0>();

    if (!diagonal) x.scaleColumns(into(stage), at.pairOf);
    MmaA corrected[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float* const sum = &x.x[2 * k + i / 2][2 * (i % 2)];
        sum[0] = lowHalf(v[k].x[i]) - sum[0];
        sum[1] = highHalf(v[k].x[i]) - sum[1];
      }
      corrected[k] = operandA(x.x, k);
    }
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<StoredB::rows>(n.x, corrected[k], tile(stage, Layout::inverse), k);
    commitProducts();
    waitForProducts<0>();

    MmaA written[4];
#pragma unroll
    for (int k = 0; k < 4; k++) written[k] = scaledOperand(n.x, k, outOf(stage), at.pairOf);
    beginProducts();
    writeState(written, stage, Layout::writeKeys);
    commitProducts();
    showTokens(n);
    waitForProducts<0>();
  }

  /// Against time: `state` is the adjoint.
  __device__ void stepBack(const Piece& piece, int stage) {
    MmaA dO[4], read[4];
    const auto readOutput = [&](WarpSums& to) {
#pragma unroll
      for (int k = 0; k < 4; k++) multiply<StoredB::columns>(to.x, dO[k], tile(stage, Layout::scores), k);
    };
    WarpSums sum, ofOutput, z;
    sum.clear();
    beginProducts();
    readState(sum, stage, Layout::writeKeys);
    commitProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) dO[k] = values(stage, k);
    if constexpr (held) {
      ofOutput.clear();
      beginProducts();
      readOutput(ofOutput);
      commitProducts();
    }
    z.clear();
    decayState(stage, piece);
#pragma unroll
    for (int k = 0; k < 4; k++)
      read[k] = diagonal ? dO[k] : scaledOperand(dO[k], k, into(stage), call.scale, at.pairOf);
    waitForProducts<0>();

    sum.scaleColumns(outOf(stage), at.pairOf);
    if constexpr (held) {
#pragma unroll
      for (int i = 0; i < 32; i++) sum.x[i / 4][i % 4] += ofOutput.x[i / 4][i % 4];
    } else {
      beginProducts();
      readOutput(sum);
      commitProducts();
      waitForProducts<0>();
    }
    MmaA operand[4];
#pragma unroll
    for (int k = 0; k < 4; k++) operand[k] = operandA(sum.x, k);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<StoredB::columns>(z.x, operand[k], tile(stage, Layout::inverse), k);
    commitProducts();
    writeState(read, stage, Layout::queries);
    commitProducts();
    waitForProducts<1>();

    MmaA erased[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      erased[k] = diagonal ? operandA(z.x, k) : scaledOperand(z.x, k, into(stage), at.pairOf);
      negate(erased[k]);
    }
    beginProducts();
    writeState(erased, stage, 0);
    commitProducts();
    showTokens(z);
    waitForProducts<0>();
  }
};

}  // namespace

}  // namespace longscan
