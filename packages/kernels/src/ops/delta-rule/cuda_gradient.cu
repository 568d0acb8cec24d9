#include "cuda/warpgroup.cuh"
#include "cuda_gradient.h"
#include "cuda_lane.cuh"
#include "cuda_prepare.h"

namespace longscan {

namespace {

/// Two stages of 64 channels of V, two pieces' queries and keys, and the products of the present piece.
template <int panels>
struct GradientLayout {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int dO = 0;
  static constexpr int dv = panel;
  static constexpr int corrections = 2 * panel;
  static constexpr int state = 3 * panel;
  static constexpr int adjoint = state + panels * panel;
  static constexpr int stage = adjoint + panels * panel;
  static constexpr int pieces = 2 * stage;
  static constexpr int queries = 0;
  static constexpr int keys = panels * panel;
  static constexpr int gates = 2 * panels * panel;
  static constexpr int beta = gates + 64 * 4;
  static constexpr int pieceBytes = gates + 1024;
  static constexpr int ofScores = pieces + 2 * pieceBytes;
  static constexpr int ofProducts = ofScores + panel;
  static constexpr int sums = ofProducts + panel;  // a copy for each warp
  static constexpr int shares = sums + 4 * panels * 64 * 4;
  static constexpr int bytes = shares + 4 * panels * 4;
};

/// One block: some chunks of a head, a warpgroup for each of its `panels` of 64 channels of K.
template <int panels>
class Gradient {
  using Layout = GradientLayout<panels>;
  static constexpr int threads = 128 * panels;
  /// What is there besides: of two warpgroups the first has dO N^T, the second Z N^T.
  static constexpr bool hasBoth = panels == 1;

  const DeltaGradientCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const DeltaLane at;
  const int group, row0, channel, numChunks;
  const int64_t bh, b, h;
  Sums query, erase, write, ofScores, ofProducts;

 public:
  __device__ Gradient(const DeltaGradientCall& call, unsigned char* shared)
      : call(call),
        shared(shared),
        base(sharedAddress(shared)),
        group(at.warp / 4),
        row0(16 * (at.warp % 4)),
        channel(64 * (blockIdx.z * panels + group)),
        numChunks(static_cast<int>((call.T + tileTokens - 1) / tileTokens)),
        bh(blockIdx.y),
        b(bh / call.H),
        h(bh % call.H) {}

  __device__ void run(int chunksPerBlock) {
    const int begin = blockIdx.x * chunksPerBlock, end = min(begin + chunksPerBlock, numChunks);
    const int32_t* resets = call.resets ? call.resets + b * call.T : nullptr;
    PieceWalk ahead(resets, call.T, begin, end, false), walk(resets, call.T, begin, end, false);
    int valueAhead = 0, pieceAhead = 0;
    const auto fillNext = [&](int stage) {
      if (!ahead.done()) {
        fillStage(ahead.piece(), stage, valueAhead);
        if (valueAhead == 0) fillPiece(ahead.piece(), pieceAhead);
        valueAhead += 64;
        if (valueAhead >= call.V) {
          valueAhead = 0;
          pieceAhead ^= 1;
          ahead.advance();
        }
      }
      commitCopies();
    };
    fillNext(0);
    for (int stage = 0, piece = 0; !walk.done(); walk.advance(), piece ^= 1) {
      float product = 0.0f;  // a thread's share of <S, D>
      clearSums();
      for (int value = 0; value < call.V; value += 64, stage ^= 1) {
        waitForCopies<0>();
        publishToProducts();
        __syncthreads();
        fillNext(stage ^ 1);
        product += addValues(walk.piece(), stage);
      }
      finish(walk.piece(), Layout::pieces + piece * Layout::pieceBytes, product);
    }
  }

 private:
  __device__ Tile<64> tile(int offset) const { return {base + offset}; }
  __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
  // What a document's first token meets is nothing; what lies behind a piece that ends its chunk is D.
  __device__ static bool meetsState(const Piece& piece) { return !piece.fresh; }
  __device__ static bool meetsAdjoint(const Piece& piece) { return piece.closesChunk; }
  __device__ static TileRows rowsOf(const Piece& piece) {
    return {static_cast<int64_t>(piece.chunk) * tileTokens, piece.low, piece.high, false};
  }

  __device__ void fillStage(const Piece& piece, int stage, int value) const {
    const int offset = stage * Layout::stage;
    const int pitch = call.H * call.V;
    const int64_t head = b * call.T * pitch + h * call.V;
    const TileRows rows = rowsOf(piece);
    fillTile<64, threads>(tile(offset + Layout::dO), call.dO + head, pitch, value, call.V, rows);
    fillTile<64, threads>(tile(offset + Layout::dv), call.dv + head, pitch, value, call.V, rows);
    fillTile<64, threads>(tile(offset + Layout::corrections), call.corrections + head, pitch, value, call.V,
                          rows);
    const TileRows values{value, 0, min(64, call.V - value), false};
    const int64_t place = (bh * numChunks + piece.chunk) * call.V * call.K;
#pragma unroll
    for (int i = 0; i < panels; i++) {
      const int column = 64 * (blockIdx.z * panels + i);
      if (meetsState(piece))
        fillTile<64, threads>(tile(offset + Layout::state + i * Layout::panel), call.states + place, call.K,
                              column, call.K, values);
      if (meetsAdjoint(piece))
        fillTile<64, threads>(tile(offset + Layout::adjoint + i * Layout::panel), call.adjoints + place,
                              call.K, column, call.K, values);
    }
  }

  __device__ void fillPiece(const Piece& piece, int parity) const {
    const int offset = Layout::pieces + parity * Layout::pieceBytes;
    const int pitch = call.H * call.K;
    const int64_t head = b * call.T * pitch + h * call.K;
    const TileRows rows = rowsOf(piece);
#pragma unroll
    for (int i = 0; i < panels; i++) {
      const int column = 64 * (blockIdx.z * panels + i);
      fillTile<64, threads>(tile(offset + Layout::queries + i * Layout::panel), call.q + head, pitch, column,
                            call.K, rows);
      fillTile<64, threads>(tile(offset + Layout::keys + i * Layout::panel), call.k + head, pitch, column,
                            call.K, rows);
    }
    if (threadIdx.x >= 64) return;
    const int row = threadIdx.x;
    const int64_t token = (b * call.T + rows.first + row) * call.H + h;
    if (call.g) copyAsync4(base + offset + Layout::gates + 4 * row, call.g + token, rows.has(row));
    if (call.beta) copyAsync4(base + offset + Layout::beta + 4 * row, call.beta + token, rows.has(row));
  }

  __device__ void clearSums() {
    clear(query);
    clear(erase);
    clear(write);
    clear(ofScores);
    if (hasBoth) clear(ofProducts);
  }
  /// Z N^T.
  __device__ Sums& products() {
    return hasBoth ? ofProducts : ofScores;
  }

  /// sum += A B over 64 channels of V.
  template <StoredB stored>
  __device__ static void multiplyTiles(Sums& sum, Tile<64> a, Tile<64> b) {
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<stored>(sum, a, k, b, k);
  }

  /// What 64 channels of V add to all products that run over them; returns a share of <S, D>.
  __device__ float addValues(const Piece& piece, int stage) {
    const int offset = stage * Layout::stage;
    const Tile<64> dO = tile(offset + Layout::dO), Z = tile(offset + Layout::dv),
                   N = tile(offset + Layout::corrections);
    const Tile<64> S = tile(offset + Layout::state + group * Layout::panel),
                   D = tile(offset + Layout::adjoint + group * Layout::panel);
    beginProducts();
    multiplyTiles<StoredB::rows>(ofScores, hasBoth || group == 0 ? dO : Z, N);
    if (hasBoth) multiplyTiles<StoredB::rows>(ofProducts, Z, N);
    if (meetsState(piece)) {
      multiplyTiles<StoredB::columns>(query, dO, S);
      multiplyTiles<StoredB::columns>(erase, Z, S);
    }
    if (meetsAdjoint(piece)) multiplyTiles<StoredB::columns>(write, N, D);
    commitProducts();
    float product = 0.0f;
    if (call.g != nullptr && meetsState(piece) && meetsAdjoint(piece))
      for (int i = 4 * (threadIdx.x % 128); i < Layout::panel; i += 4 * 128) {
        const uint32_t s = loadShared(S.base + i), d = loadShared(D.base + i);
        product += lowHalf(s) * lowHalf(d) + highHalf(s) * highHalf(d);
      }
    waitForProducts<0>();
    return product;
  }

  /// `offset`: of the piece's queries, keys and gates.
  __device__ void finish(const Piece& piece, int offset, float product) {
    const TileRows rows = rowsOf(piece);
    float* const gates = floats(offset + Layout::gates);
    float* const sums = floats(Layout::sums) + 64 * at.warp;
    if (call.g != nullptr) {
      sumLogGates(gates, sums, at.lane);
    } else {
      reinterpret_cast<float2*>(sums)[at.lane] = make_float2(0.0f, 0.0f);
      __syncwarp();
    }
    const auto beta = [&](int row) {
      return call.beta ? usableBeta(floats(offset + Layout::beta)[row]) : 1.0f;
    };
    if (hasBoth || group == 0)
      storeProducts(ofScores, tile(Layout::ofScores), [&](int row, int column, float sum) {
        return column <= row ? call.scale * beta(column) * exp2Fast(sums[row] - sums[column]) * sum : 0.0f;
      });
    if (hasBoth || group == 1)
      storeProducts(products(), tile(Layout::ofProducts), [&](int row, int column, float sum) {
        if (column == row && rows.has(row) && blockIdx.z == 0 && call.dbeta != nullptr)
          call.dbeta[(b * call.T + rows.first + row) * call.H + h] = sum / beta(row);
        return column < row ? -beta(column) * exp2Fast(sums[row] - sums[column]) * sum : 0.0f;
      });
    const float last = sums[piece.high - 1];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + at.group + 8 * i;
      const float into = exp2Fast(sums[row]), outOf = beta(row) * exp2Fast(last - sums[row]);
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int j = 2 * i; j < 2 * i + 2; j++) {
          query[n][j] *= call.scale * into;
          erase[n][j] *= -into;
          write[n][j] *= outOf;
        }
    }
    const Tile<64> Q = tile(offset + Layout::queries + group * Layout::panel),
                   K = tile(offset + Layout::keys + group * Layout::panel);
    // <S', D>: what the state keeps of S, and what this piece writes into it.
    const float end = exp2Fast(last) * product + dotRow(write, K, 0) + dotRow(write, K, 1);
    __syncthreads();
    addTokens(Q, K);
    if (call.g != nullptr) {
      storeDots(rows, Q, K);
      if (meetsAdjoint(piece)) storeEnd(piece.chunk, end);
    }
    storeGradients(rows);
  }

  /// factor(row, column, sum) of a product to shared memory.
  template <typename Factor>
  __device__ void storeProducts(const Sums& sum, Tile<64> to, Factor&& factor) const {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int row = row0 + at.group + 8 * i, column = 8 * n + at.pairOf;
        storeShared(to.address(row, n) + 2 * at.pairOf,
                    pack(factor(row, column, sum[n][2 * i]), factor(row, column + 1, sum[n][2 * i + 1])));
      }
  }

  /// What the tokens of the piece give each other.
  __device__ void addTokens(Tile<64> Q, Tile<64> K) {
    const Tile<64> scores = tile(Layout::ofScores), products = tile(Layout::ofProducts);
    MmaA s[4], p[4], sBack[4], pBack[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      s[k] = loadA(scores, row0, 16 * k, at.lane);
      p[k] = loadA(products, row0, 16 * k, at.lane);
      sBack[k] = loadATransposed(scores, 16 * k, row0, at.lane);
      pBack[k] = loadATransposed(products, 16 * k, row0, at.lane);
    }
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) {
      multiply<StoredB::columns>(query, s[k], K, k);
      multiply<StoredB::columns>(erase, p[k], K, k);
      multiply<StoredB::columns>(write, sBack[k], Q, k);
      multiply<StoredB::columns>(write, pBack[k], K, k);
    }
    commitProducts();
    waitForProducts<0>();
  }

  /// A thread's share of the dot product of a row's gradient with its token's vector.
  __device__ float dotRow(const Sums& gradient, Tile<64> tile, int i) const {
    const int row = row0 + at.group + 8 * i;
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const uint32_t both = loadShared(tile.address(row, n) + 2 * at.pairOf);
      sum += gradient[n][2 * i] * lowHalf(both) + gradient[n][2 * i + 1] * highHalf(both);
    }
    return sum;
  }

  __device__ int part() const {
    return blockIdx.z * panels + group;
  }

  __device__ void storeDots(const TileRows& rows, Tile<64> Q, Tile<64> K) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float rising = dotRow(query, Q, i) + dotRow(erase, K, i), falling = dotRow(write, K, i);
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) {
        rising += __shfl_xor_sync(~0u, rising, distance);
        falling += __shfl_xor_sync(~0u, falling, distance);
      }
      const int row = row0 + at.group + 8 * i;
      if (at.pairOf != 0 || !rows.has(row) || channel >= call.K) continue;
      const int64_t place = (bh * call.T + rows.first + row) * deltaDotParts(call.K) + part();
      call.risingDots[place] = rising;
      call.fallingDots[place] = falling;
    }
  }

  /// The sum of a warpgroup's shares.
  __device__ void storeEnd(int chunk, float share) {
    float* const shares = floats(Layout::shares) + 4 * group;
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) share += __shfl_xor_sync(~0u, share, distance);
    if (at.lane == 0) shares[at.warp % 4] = share;
    joinBarrier(1 + group, 128);
    if (threadIdx.x % 128 == 0 && channel < call.K)
      call.ends[(bh * numChunks + chunk) * deltaDotParts(call.K) + part()] =
          shares[0] + shares[1] + shares[2] + shares[3];
  }

  __device__ void storeGradients(const TileRows& rows) {
    const int64_t pitch = static_cast<int64_t>(call.H) * call.K;
    const int64_t head = b * call.T * pitch + h * call.K;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + at.group + 8 * i;
#pragma unroll
      for (int n = 0; n < 8; n += 4) {
        uint32_t queries[4], keys[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const float *fromQuery = &query[n + j][2 * i], *fromErase = &erase[n + j][2 * i],
                      *fromWrite = &write[n + j][2 * i];
          queries[j] = pack(fromQuery[0], fromQuery[1]);
          keys[j] = pack(fromErase[0] + fromWrite[0], fromErase[1] + fromWrite[1]);
        }
        transposeQuad(queries, at.lane);
        transposeQuad(keys, at.lane);
        const int column = channel + 8 * n + 8 * (at.lane & 3);
        if (!rows.has(row) || column >= call.K) continue;
        const int64_t place = head + (rows.first + row) * pitch + column;
        *reinterpret_cast<uint4*>(call.dq + place) =
            make_uint4(queries[0], queries[1], queries[2], queries[3]);
        *reinterpret_cast<uint4*>(call.dk + place) = make_uint4(keys[0], keys[1], keys[2], keys[3]);
      }
    }
  }
};

template <int panels>
__global__ void __launch_bounds__(128 * panels, 1)
    gradientKernel(const __grid_constant__ DeltaGradientCall call, int chunksPerBlock) {
  extern __shared__ __align__(1024) unsigned char shared[];
  Gradient<panels>(call, shared).run(chunksPerBlock);
}

template <int panels>
cudaError_t launch(const DeltaGradientCall& call, cudaStream_t stream) {
  constexpr int bytes = GradientLayout<panels>::bytes;
  const auto kernel = gradientKernel<panels>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t chunks = (call.T + tileTokens - 1) / tileTokens, heads = call.B * call.H;
  const int64_t tiles = (call.K + 64 * panels - 1) / (64 * panels);
  // Loads of one chunk hide behind the products of the one before; yet enough blocks to fill a chip.
  const int64_t perBlock =
      max(static_cast<int64_t>(1), min(static_cast<int64_t>(8), chunks * heads * tiles / 512));
  const dim3 grid(static_cast<unsigned>((chunks + perBlock - 1) / perBlock), static_cast<unsigned>(heads),
                  static_cast<unsigned>(tiles));
  kernel<<<grid, 128 * panels, bytes, stream>>>(call, static_cast<int>(perBlock));
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchDeltaGradient(const DeltaGradientCall& call, cudaStream_t stream) {
  return call.K <= 64 ? launch<1>(call, stream) : launch<2>(call, stream);
}

}  // namespace longscan
