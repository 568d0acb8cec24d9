#include "cuda_lane.cuh"
#include "cuda_gradient.h"
#include "cuda_prepare.h"

namespace longscan {

namespace {

constexpr int gradientThreads = 256;

template <int KB>
struct GradientLayout {
  // A stage: 64 channels of V.
  static constexpr int dO = 0;
  static constexpr int dv = Tile<64>::bytes;
  static constexpr int corrections = 2 * Tile<64>::bytes;
  static constexpr int state = 3 * Tile<64>::bytes;
  static constexpr int adjoint = state + Tile<KB>::bytes;
  static constexpr int stage = adjoint + Tile<KB>::bytes;
  static constexpr int numStages = 2;
  static constexpr int queries = numStages * stage;
  static constexpr int keys = queries + Tile<KB>::bytes;
  static constexpr int ofScores = keys + Tile<KB>::bytes;
  static constexpr int ofProducts = ofScores + Tile<64>::bytes;
  static constexpr int gates = ofProducts + Tile<64>::bytes;
  static constexpr int beta = gates + 64 * 4;
  static constexpr int sums = beta + 64 * 4;  // a copy for each warp
  static constexpr int bytes = sums + gradientThreads / 32 * 64 * 4;
};

/// One block: a chunk of a head, KB channels of K. Warps have 16 tokens (`row0`) and half of the channels.
template <int KB>
class Gradient {
  using Layout = GradientLayout<KB>;
  static constexpr int NT = KB / 16;  // accumulators side by side

  const DeltaGradientCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const DeltaLane at;
  const int row0, half, channel, chunk, numChunks;
  const int64_t bh, b, h;
  float queryGradient[NT][4], eraseGradient[NT][4], writeGradient[NT][4];
  float ofScores[2][2][4], ofProducts[2][2][4];  // dO_i . N_j and Z_i . N_j: columns 32 half + 16 n

 public:
  __device__ Gradient(const DeltaGradientCall& call, unsigned char* shared)
      : call(call),
        shared(shared),
        base(sharedAddress(shared)),
        row0(16 * (at.warp % 4)),
        half(at.warp / 4),
        channel(blockIdx.z * KB),
        chunk(blockIdx.x),
        numChunks(gridDim.x),
        bh(blockIdx.y),
        b(bh / call.H),
        h(bh % call.H) {}

  __device__ void run() {
    PieceWalk walk(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, chunk + 1, false);
    for (; !walk.done(); walk.advance()) {
      gradientsOf(walk.piece());
      __syncthreads();
    }
  }

 private:
  template <int D>
  __device__ Tile<D> tile(int offset) const {
    return {base + offset};
  }
  __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }

  __device__ void fillStage(const TileRows& rows, int stage, int value, bool meetsState, bool meetsAdjoint) {
    const int offset = stage * Layout::stage;
    const int pitch = call.H * call.V;
    const int64_t head = b * call.T * pitch + h * call.V;
    constexpr int threads = gradientThreads;
    fillTile<64, threads>(tile<64>(offset + Layout::dO), call.dO + head, pitch, value, call.V, rows);
    fillTile<64, threads>(tile<64>(offset + Layout::dv), call.dv + head, pitch, value, call.V, rows);
    fillTile<64, threads>(tile<64>(offset + Layout::corrections), call.corrections + head, pitch, value, call.V,
                          rows);
    const TileRows values{value, 0, min(64, call.V - value), false};
    const int64_t place = (bh * numChunks + chunk) * call.V * call.K;
    if (meetsState)
      fillTile<KB, threads>(tile<KB>(offset + Layout::state), call.states + place, call.K, channel, call.K, values);
    if (meetsAdjoint)
      fillTile<KB, threads>(tile<KB>(offset + Layout::adjoint), call.adjoints + place, call.K, channel, call.K,
                            values);
  }

  __device__ void gradientsOf(const Piece& piece) {
    const TileRows rows{static_cast<int64_t>(chunk) * tileTokens, piece.low, piece.high, false};
    // What a document's first token meets is nothing; what lies behind a piece that ends its chunk is D.
    const bool meetsState = !piece.fresh, meetsAdjoint = piece.closesChunk;
    const int pitch = call.H * call.K;
    const int64_t head = b * call.T * pitch + h * call.K;
    const Tile<KB> Q = tile<KB>(Layout::queries), K = tile<KB>(Layout::keys);
    fillStage(rows, 0, 0, meetsState, meetsAdjoint);
    fillTile<KB, gradientThreads>(Q, call.q + head, pitch, channel, call.K, rows);
    fillTile<KB, gradientThreads>(K, call.k + head, pitch, channel, call.K, rows);
    commitCopies();
    float *const gates = floats(Layout::gates), *const beta = floats(Layout::beta);
    if (threadIdx.x < 64) {
      const int row = threadIdx.x;
      const int64_t token = (b * call.T + rows.first + row) * call.H + h;
      gates[row] = call.g != nullptr && rows.has(row) ? call.g[token] : 0.0f;
      beta[row] = !rows.has(row) ? 0.0f : call.beta ? usableBeta(call.beta[token]) : 1.0f;
    }
    clear();
    float product = 0.0f;  // a thread's share of <S, D>
    for (int value = 0, stage = 0; value < call.V; value += 64, stage ^= 1) {
      if (value + 64 < call.V) fillStage(rows, stage ^ 1, value + 64, meetsState, meetsAdjoint);
      commitCopies();
      waitForCopies<1>();
      __syncthreads();
      addValues(stage, meetsState, meetsAdjoint);
      if (call.g != nullptr && meetsState && meetsAdjoint) product += dotStates(stage);
      __syncthreads();
    }
    float* const sums = floats(Layout::sums) + 64 * at.warp;
    sumLogGates(gates, sums, at.lane);
    storeProducts(rows, sums, beta);
    __syncthreads();
    scaleRows(sums, beta, piece);
    float end = exp2Fast(sums[piece.high - 1]) * product;
    if (meetsAdjoint && call.g != nullptr) end += dotKeys(writeGradient, K);
    addTokens(Q, K);
    if (call.g != nullptr) storeDots(rows, Q, K);
    if (call.g != nullptr && meetsAdjoint) storeEnd(end);
    storeGradients(rows);
  }

  __device__ void clear() {
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) queryGradient[n][i] = eraseGradient[n][i] = writeGradient[n][i] = 0.0f;
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int i = 0; i < 8; i++) ofScores[n][i / 4][i % 4] = ofProducts[n][i / 4][i % 4] = 0.0f;
  }

  /// What 64 channels of V add to all products that run over them.
  __device__ void addValues(int stage, bool meetsState, bool meetsAdjoint) {
    const int offset = stage * Layout::stage;
    const Tile<64> dO = tile<64>(offset + Layout::dO), Z = tile<64>(offset + Layout::dv),
                   N = tile<64>(offset + Layout::corrections);
    const Tile<KB> S = tile<KB>(offset + Layout::state), D = tile<KB>(offset + Layout::adjoint);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const MmaA o = loadA(dO, row0, 16 * k, at.lane), z = loadA(Z, row0, 16 * k, at.lane);
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const int column = 32 * half + 16 * n;
        if (column > row0) continue;
        const MmaB2 other = loadBTransposed(N, column, 16 * k, at.lane);
        mma(ofScores[n][0], ofScores[n][1], o, other);
        mma(ofProducts[n][0], ofProducts[n][1], z, other);
      }
      if (meetsState) {
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
          const MmaB2 s = loadB(S, 16 * k, KB / 2 * half + 8 * n, at.lane);
          mma(queryGradient[n], queryGradient[n + 1], o, s);
          mma(eraseGradient[n], eraseGradient[n + 1], z, s);
        }
      }
      if (meetsAdjoint) {
        const MmaA own = loadA(N, row0, 16 * k, at.lane);
#pragma unroll
        for (int n = 0; n < NT; n += 2)
          mma(writeGradient[n], writeGradient[n + 1], own, loadB(D, 16 * k, KB / 2 * half + 8 * n, at.lane));
      }
    }
  }

  __device__ float dotStates(int stage) const {
    const int offset = stage * Layout::stage;
    float sum = 0.0f;
    for (int i = 4 * threadIdx.x; i < Tile<KB>::bytes; i += 4 * gradientThreads) {
      const uint32_t s = loadShared(base + offset + Layout::state + i);
      const uint32_t d = loadShared(base + offset + Layout::adjoint + i);
      sum += lowHalf(s) * lowHalf(d) + highHalf(s) * highHalf(d);
    }
    return sum;
  }

  /// Gradients of q_i . k_j and k_i . k_j to shared memory, and dbeta.
  __device__ void storeProducts(const TileRows& rows, const float* sums, const float* beta) {
    const Tile<64> scores = tile<64>(Layout::ofScores), products = tile<64>(Layout::ofProducts);
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int row = row0 + at.group + 8 * i, column = 32 * half + 8 * n + at.pairOf;
        float ofScore[2], ofProduct[2];
#pragma unroll
        for (int pair = 0; pair < 2; pair++) {
          const int j = column + pair;
          const float factor = beta[j] * exp2Fast(sums[row] - sums[j]);
          const float product = ofProducts[n / 2][n % 2][2 * i + pair];
          ofScore[pair] = j <= row ? call.scale * factor * ofScores[n / 2][n % 2][2 * i + pair] : 0.0f;
          ofProduct[pair] = j < row ? -factor * product : 0.0f;
          if (j == row && call.dbeta != nullptr && channel == 0 && rows.has(row))
            call.dbeta[(b * call.T + rows.first + row) * call.H + h] = product / beta[row];
        }
        storeShared(scores.address(row, column / 8) + 2 * at.pairOf, pack(ofScore[0], ofScore[1]));
        storeShared(products.address(row, column / 8) + 2 * at.pairOf, pack(ofProduct[0], ofProduct[1]));
      }
  }

  __device__ void scaleRows(const float* sums, const float* beta, const Piece& piece) {
    const float last = sums[piece.high - 1];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + at.group + 8 * i;
      const float into = exp2Fast(sums[row]);
      const float outOf = beta[row] * exp2Fast(last - sums[row]);
#pragma unroll
      for (int n = 0; n < NT; n++)
#pragma unroll
        for (int j = 2 * i; j < 2 * i + 2; j++) {
          queryGradient[n][j] *= call.scale * into;
          eraseGradient[n][j] *= -into;
          writeGradient[n][j] *= outOf;
        }
    }
  }

  /// What the tokens of the piece give each other.
  __device__ void addTokens(Tile<KB> Q, Tile<KB> K) {
    const Tile<64> scores = tile<64>(Layout::ofScores), products = tile<64>(Layout::ofProducts);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      if (16 * k <= row0) {
        const MmaA s = loadA(scores, row0, 16 * k, at.lane), p = loadA(products, row0, 16 * k, at.lane);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
          const MmaB2 key = loadB(K, 16 * k, KB / 2 * half + 8 * n, at.lane);
          mma(queryGradient[n], queryGradient[n + 1], s, key);
          mma(eraseGradient[n], eraseGradient[n + 1], p, key);
        }
      }
      if (16 * k >= row0) {
        const MmaA s = loadATransposed(scores, 16 * k, row0, at.lane),
                   p = loadATransposed(products, 16 * k, row0, at.lane);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
          mma(writeGradient[n], writeGradient[n + 1], s, loadB(Q, 16 * k, KB / 2 * half + 8 * n, at.lane));
          mma(writeGradient[n], writeGradient[n + 1], p, loadB(K, 16 * k, KB / 2 * half + 8 * n, at.lane));
        }
      }
    }
  }

  /// A thread's share of the dot product of a row's gradient with its tokens' vector.
  __device__ float dotRow(const float (&gradient)[NT][4], Tile<KB> tile, int i) const {
    const int row = row0 + at.group + 8 * i;
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < NT; n++) {
      const uint32_t both = loadShared(tile.address(row, KB / 16 * half + n) + 2 * at.pairOf);
      sum += gradient[n][2 * i] * lowHalf(both) + gradient[n][2 * i + 1] * highHalf(both);
    }
    return sum;
  }
  __device__ float dotKeys(const float (&gradient)[NT][4], Tile<KB> K) const {
    return dotRow(gradient, K, 0) + dotRow(gradient, K, 1);
  }

  __device__ void storeDots(const TileRows& rows, Tile<KB> Q, Tile<KB> K) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float rising = dotRow(queryGradient, Q, i) + dotRow(eraseGradient, K, i);
      float falling = dotRow(writeGradient, K, i);
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) {
        rising += __shfl_xor_sync(~0u, rising, distance);
        falling += __shfl_xor_sync(~0u, falling, distance);
      }
      const int row = row0 + at.group + 8 * i;
      if (at.pairOf != 0 || !rows.has(row)) continue;
      const int64_t place = (bh * call.T + rows.first + row) * deltaDotParts(call.K) + 2 * blockIdx.z + half;
      call.risingDots[place] = rising;
      call.fallingDots[place] = falling;
    }
  }

  /// The sum of all threads' shares.
  __device__ void storeEnd(float share) {
    float* const shares = floats(Layout::gates);
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) share += __shfl_xor_sync(~0u, share, distance);
    __syncthreads();
    if (at.lane == 0) shares[at.warp] = share;
    __syncthreads();
    if (threadIdx.x < 2) {
      float sum = 0.0f;
      for (int warp = 4 * threadIdx.x; warp < 4 * threadIdx.x + 4; warp++) sum += shares[warp];
      call.ends[(bh * numChunks + chunk) * deltaDotParts(call.K) + 2 * blockIdx.z + threadIdx.x] = sum;
    }
  }

  __device__ void storeGradients(const TileRows& rows) {
    const int64_t pitch = static_cast<int64_t>(call.H) * call.K;
    const int64_t head = b * call.T * pitch + h * call.K;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + at.group + 8 * i;
#pragma unroll
      for (int n = 0; n < NT; n += 4) {
        uint32_t query[4], key[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
          query[j] = pack(queryGradient[n + j][2 * i], queryGradient[n + j][2 * i + 1]);
          key[j] = pack(eraseGradient[n + j][2 * i] + writeGradient[n + j][2 * i],
                        eraseGradient[n + j][2 * i + 1] + writeGradient[n + j][2 * i + 1]);
        }
        transposeQuad(query, at.lane);
        transposeQuad(key, at.lane);
        const int column = channel + KB / 2 * half + 8 * n + 8 * (at.lane & 3);
        if (!rows.has(row) || column >= call.K) continue;
        const int64_t place = head + (rows.first + row) * pitch + column;
        *reinterpret_cast<uint4*>(call.dq + place) = make_uint4(query[0], query[1], query[2], query[3]);
        *reinterpret_cast<uint4*>(call.dk + place) = make_uint4(key[0], key[1], key[2], key[3]);
      }
    }
  }
};

template <int KB>
__global__ void __launch_bounds__(gradientThreads, 1)
    gradientKernel(const __grid_constant__ DeltaGradientCall call) {
  extern __shared__ __align__(128) unsigned char shared[];
  Gradient<KB>(call, shared).run();
}

template <int KB>
cudaError_t launch(const DeltaGradientCall& call, cudaStream_t stream) {
  constexpr int bytes = GradientLayout<KB>::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(gradientKernel<KB>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const auto chunks = static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens);
  const dim3 grid(chunks, static_cast<unsigned>(call.B * call.H), (call.K + KB - 1) / KB);
  gradientKernel<KB><<<grid, gradientThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchDeltaGradient(const DeltaGradientCall& call, cudaStream_t stream) {
  return deltaGradientTile(call.K) == 64 ? launch<64>(call, stream) : launch<128>(call, stream);
}

}  // namespace longscan
