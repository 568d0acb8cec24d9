#pragma once

#include "cuda_sweep.h"
#include "cuda_sweep_parts.cuh"

namespace longscan {

namespace {

/// What a block does: the output with time, states with time once more, or adjoints against time.
enum class DeltaRole { output, states, adjoint };

/// Warps that share 16 channels of V, each with 64 channels of K.
constexpr int warpsPerBlock = deltaSweepThreads / 32;

template <int KW, DeltaRole role>
struct DeltaSweepLayout {
  static constexpr bool reads = role != DeltaRole::states;
  static constexpr int VB = 16 * warpsPerBlock / KW;
  static constexpr int queries = Tile<64 * KW>::bytes;
  static constexpr int inverse = queries + (reads ? Tile<64 * KW>::bytes : 0);
  static constexpr int scores = inverse + Tile<64>::bytes;
  static constexpr int values = scores + (reads ? Tile<64>::bytes : 0);
  static constexpr int factors = values + PaddedTile<VB>::bytes;
  static constexpr int stage = factors + 2 * 64 * sizeof(float);
  static constexpr int numStages = KW == 4 ? 2 : 3;
  static constexpr int sums = numStages * stage;
  static constexpr int sumsOfWarp = (role == DeltaRole::output ? 16 : 8) * 32 * 16;
  static constexpr int bytes = sums + (KW > 1 ? warpsPerBlock * sumsOfWarp : 0);
};

/// One block: VB channels of V of one head, all of its chunks in turn. A warp keeps its part of the state
/// transposed in accumulators, whose layout is that of the first operand: from the state to the tokens' sums and
/// back nothing passes through shared memory but the sums over K, where several warps share them.
template <int KW, DeltaRole role>
class DeltaSweep {
  using Layout = DeltaSweepLayout<KW, role>;
  static constexpr bool backward = role == DeltaRole::adjoint;

  const DeltaSweepCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const DeltaLane at;
  const int part, group;  // which 64 channels of K, which 16 of the block's VB
  int b, h, numChunks, value;
  int64_t bh;
  StatePart state;

 public:
  __device__ DeltaSweep(const DeltaSweepCall& call, unsigned char* shared)
      : call(call),
        shared(shared),
        base(sharedAddress(shared)),
        part(at.warp % KW),
        group(at.warp / KW),
        numChunks(static_cast<int>((call.T + tileTokens - 1) / tileTokens)) {
    const int tiles = (call.V + Layout::VB - 1) / Layout::VB;
    value = blockIdx.x % tiles * Layout::VB;
    bh = blockIdx.x / tiles;
    b = static_cast<int>(bh / call.H);
    h = static_cast<int>(bh % call.H);
  }

  __device__ void run() {
    const int32_t* resets = call.resets ? call.resets + b * call.T : nullptr;
    PieceWalk ahead(resets, call.T, 0, numChunks, backward), walk(resets, call.T, 0, numChunks, backward);
    const auto fillNext = [&](int stage) {
      if (!ahead.done()) {
        fill(ahead.piece(), stage);
        ahead.advance();
      }
      commitCopies();
    };
    for (int stage = 0; stage + 1 < Layout::numStages; stage++) fillNext(stage);
    const float* incoming = backward ? call.dht : call.h0;
    state.load(incoming ? incoming + place(bh) : nullptr, restV(), restK(), call.K, at);
    int stage = 0;
    while (!walk.done()) {
      waitForCopies<Layout::numStages - 2>();
      __syncthreads();
      fillNext(stage == 0 ? Layout::numStages - 1 : stage - 1);
      if constexpr (backward)
        stepBack(walk.piece(), stage);
      else
        step(walk.piece(), stage);
      walk.advance();
      stage = stage + 1 == Layout::numStages ? 0 : stage + 1;
    }
    float* outgoing = role == DeltaRole::output ? call.ht : backward ? call.dh0 : nullptr;
    if (outgoing != nullptr) state.store(outgoing + place(bh), restV(), restK(), call.K, at);
  }

 private:
  __device__ Tile<64 * KW> keys(int stage) const { return {base + stage * Layout::stage}; }
  __device__ Tile<64 * KW> queries(int stage) const { return {base + stage * Layout::stage + Layout::queries}; }
  __device__ Tile<64> inverse(int stage) const { return {base + stage * Layout::stage + Layout::inverse}; }
  __device__ Tile<64> scores(int stage) const { return {base + stage * Layout::stage + Layout::scores}; }
  /// v, or dO.
  __device__ PaddedTile<Layout::VB> values(int stage) const {
    return {base + stage * Layout::stage + Layout::values};
  }
  __device__ const float* into(int stage) const {
    return reinterpret_cast<const float*>(shared + stage * Layout::stage + Layout::factors);
  }
  __device__ const float* outOf(int stage) const { return into(stage) + 64; }

  __device__ int firstV() const { return value + 16 * group; }
  __device__ int restV() const { return call.V - firstV(); }
  __device__ int restK() const { return call.K - 64 * part; }
  /// Of the warp's first element, in the `index`th of states [.., V, K].
  __device__ int64_t place(int64_t index) const {
    return (index * call.V + firstV()) * call.K + 64 * part;
  }
  /// Whether this warp is the one of those who share channels that sees to tokens [16 i, 16 i + 16).
  __device__ bool sees(int i) const {
    return KW == 1 || (KW == 2 ? (i == 0 || i == 3) == (part == 0) : i == part);
  }

  __device__ void fill(const Piece& piece, int stage) {
    const TileRows rows{static_cast<int64_t>(piece.chunk) * tileTokens, piece.low, piece.high, false};
    const int pitchK = call.H * call.K, pitchV = call.H * call.V;
    const int64_t headK = b * call.T * pitchK + h * call.K, headV = b * call.T * pitchV + h * call.V + value;
    const int64_t headRows = bh * numChunks * tileTokens;
    constexpr int threads = deltaSweepThreads;
    fillTile<64 * KW, threads>(keys(stage), call.k + headK, pitchK, 0, call.K, rows);
    fillTile<64, threads>(inverse(stage), call.chunks.inverse + headRows * 64, 64, 0, 64, rows);
    if constexpr (Layout::reads) {
      fillTile<64 * KW, threads>(queries(stage), call.q + headK, pitchK, 0, call.K, rows);
      fillTile<64, threads>(scores(stage), call.chunks.scores + headRows * 64, 64, 0, 64, rows);
    }
    values(stage).template fill<threads>((backward ? call.dO : call.v) + headV, pitchV, call.V - value, rows);
    const int row = threadIdx.x % 64;
    const float* factor = threadIdx.x < 64 ? call.chunks.into : call.chunks.outOf;
    copyAsync4(sharedAddress(into(stage)) + 4 * threadIdx.x, factor + headRows + rows.first + row, rows.has(row));
  }

  __device__ void operands(MmaA (&own)[4]) const {
#pragma unroll
    for (int k = 0; k < 4; k++) own[k] = state.operand(k);
  }

  /// sum += state * rows^T over the warp's channels of K.
  __device__ void readState(WarpSums& sum, const MmaA (&own)[4], Tile<64 * KW> rows) const {
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int n = 0; n < 4; n++)
        mma(sum.x[2 * n], sum.x[2 * n + 1], own[k], loadBTransposed(rows, 16 * n, 64 * part + 16 * k, at.lane));
  }

  /// state += written^T rows
  __device__ void writeState(const MmaA (&written)[4], Tile<64 * KW> rows) {
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int k = 0; k < 4; k++)
        mma(state.x[2 * n], state.x[2 * n + 1], written[k], loadB(rows, 16 * k, 64 * part + 16 * n, at.lane));
  }

  __device__ float4* sharedSums(int warp) const {
    return reinterpret_cast<float4*>(shared + Layout::sums + warp * Layout::sumsOfWarp) + at.lane;
  }
  __device__ void waitForSharers() const { asm volatile("bar.sync %0, %1;" ::"r"(1 + group), "n"(32 * KW) : "memory"); }

  /// Adds what the warps with the same channels of V have: of `all` everything to each, of `mine` (the output) to
  /// the one that sees to the tokens.
  __device__ void addParts(WarpSums& all, WarpSums& mine) {
    if constexpr (KW > 1) {
      constexpr bool output = role == DeltaRole::output;
      float4* const own = sharedSums(at.warp);
#pragma unroll
      for (int n = 0; n < 8; n++) {
        own[32 * n] = make_float4(all.x[n][0], all.x[n][1], all.x[n][2], all.x[n][3]);
        if (output && !sees(n / 2)) 
          own[32 * (8 + n)] = make_float4(mine.x[n][0], mine.x[n][1], mine.x[n][2], mine.x[n][3]);
      }
      waitForSharers();
      // In the same order in every warp: all are to have the same bits.
      if (KW > 2) all.clear();
#pragma unroll
      for (int other = 0; other < KW; other++) {
        if (KW == 2 && other == part) continue;
        const float4* from = sharedSums(group * KW + other);
#pragma unroll
        for (int n = 0; n < 8; n++) {
          add(all.x[n], from[32 * n]);
          if (output && other != part && sees(n / 2)) add(mine.x[n], from[32 * (8 + n)]);
        }
      }
    }
  }

  __device__ static void add(float (&sum)[4], const float4& more) {
    sum[0] += more.x;
    sum[1] += more.y;
    sum[2] += more.z;
    sum[3] += more.w;
  }

  /// The tokens that this warp sees to, to [B, T, H, V].
  __device__ void storeTokens(const WarpSums& sum, __nv_bfloat16* tensor, const Piece& piece) const {
    const int64_t pitch = static_cast<int64_t>(call.H) * call.V;
    __nv_bfloat16* const to =
        tensor + (b * call.T + static_cast<int64_t>(piece.chunk) * tileTokens) * pitch + h * call.V + firstV();
#pragma unroll
    for (int n = 0; n < 8; n++) {
      if (!sees(n / 2)) continue;
      const uint32_t near = transposeBlock(pack(sum.x[n][0], sum.x[n][1]));
      const uint32_t far = transposeBlock(pack(sum.x[n][2], sum.x[n][3]));
      const int row = 8 * n + at.group;
      if (row < piece.low || row >= piece.high) continue;
      if (at.pairOf < restV()) *reinterpret_cast<uint32_t*>(to + row * pitch + at.pairOf) = near;
      if (8 + at.pairOf < restV()) *reinterpret_cast<uint32_t*>(to + row * pitch + 8 + at.pairOf) = far;
    }
  }

  /// With time.
  __device__ void step(const Piece& piece, int stage) {
    constexpr bool output = role == DeltaRole::output;
    if (piece.fresh) state.clear();
    MmaA own[4];
    operands(own);
    if (!output && piece.opensChunk)
      storeOperands(own, call.states + place(bh * numChunks + piece.chunk), restV(), restK(), call.K, at);

    WarpSums x, out;
    x.clear();
    readState(x, own, keys(stage));
    if constexpr (output) {
      out.clear();
      readState(out, own, queries(stage));
    }
    addParts(x, out);

    MmaA corrected[4];
    x.scaleColumns(into(stage), at.pairOf);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const MmaA v = values(stage).transposed(16 * i, 16 * group, at.lane);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        float* const sum = &x.x[2 * i + j / 2][2 * (j % 2)];
        sum[0] = lowHalf(v.x[j]) - sum[0];
        sum[1] = highHalf(v.x[j]) - sum[1];
      }
      corrected[i] = x.operand(i);
    }

    WarpSums n;
    n.clear();
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int k = 0; k <= i; k++)
        mma(n.x[2 * i], n.x[2 * i + 1], corrected[k], loadBTransposed(inverse(stage), 16 * i, 16 * k, at.lane));

    if constexpr (output) {
      out.scaleColumns(into(stage), at.pairOf);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (!sees(i)) continue;
#pragma unroll
        for (int j = 0; j < 8; j++) out.x[2 * i + j / 4][j % 4] *= call.scale;
#pragma unroll
        for (int k = 0; k <= i; k++)
          mma(out.x[2 * i], out.x[2 * i + 1], n.operand(k),
              loadBTransposed(scores(stage), 16 * i, 16 * k, at.lane));
      }
      storeTokens(out, call.o, piece);
    } else {
      storeTokens(n, call.corrections, piece);
    }

    n.scaleColumns(outOf(stage), at.pairOf);
    MmaA written[4];
#pragma unroll
    for (int k = 0; k < 4; k++) written[k] = n.operand(k);
    state.scale(into(stage)[piece.high - 1]);
    writeState(written, keys(stage));
  }

  /// Against time: `state` is the adjoint.
  __device__ void stepBack(const Piece& piece, int stage) {
    MmaA own[4];
    operands(own);
    if (piece.opensChunk)
      storeOperands(own, call.adjoints + place(bh * numChunks + piece.chunk), restV(), restK(), call.K, at);

    WarpSums sum;
    sum.clear();
    readState(sum, own, keys(stage));
    sum.scaleColumns(outOf(stage), at.pairOf);
    MmaA dO[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      dO[k] = values(stage).transposed(16 * k, 16 * group, at.lane);
      if (!sees(k)) continue;
#pragma unroll
      for (int n = 0; n <= k; n++)
        mma(sum.x[2 * n], sum.x[2 * n + 1], dO[k], loadB(scores(stage), 16 * k, 16 * n, at.lane));
    }
    addParts(sum, sum);

    WarpSums z;
    z.clear();
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const MmaA operand = sum.operand(k);
#pragma unroll
      for (int n = 0; n <= k; n++)
        mma(z.x[2 * n], z.x[2 * n + 1], operand, loadB(inverse(stage), 16 * k, 16 * n, at.lane));
    }
    storeTokens(z, call.dv, piece);

    z.scaleColumns(into(stage), at.pairOf);
    MmaA erased[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      erased[k] = z.operand(k);
#pragma unroll
      for (int i = 0; i < 4; i++) erased[k].x[i] ^= 0x80008000u;  // both signs
      dO[k] = scaleOperand(dO[k], into(stage) + 16 * k, call.scale, at.pairOf);
    }
    state.scale(into(stage)[piece.high - 1]);
    writeState(dO, queries(stage));
    writeState(erased, keys(stage));
    if (piece.fresh) state.clear();
  }
};

template <int KW, DeltaRole role>
__device__ void runDeltaSweep(const DeltaSweepCall& call) {
  extern __shared__ __align__(128) unsigned char shared[];
  DeltaSweep<KW, role>(call, shared).run();
}

}  // namespace

}  // namespace longscan
