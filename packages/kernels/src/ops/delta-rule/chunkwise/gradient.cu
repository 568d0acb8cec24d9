#include "gradient_load.cuh"
#include "gradient_tokens.cuh"

namespace longscan {

namespace {

/// The warpgroups of a block that multiply, one for each of its `panels` of 64 channels of K.
template <int panels, bool hasEraseKeys>
class Gradient {
  using Block = GradientBlock<panels, hasEraseKeys>;
  using Layout = typename Block::Layout;
  static constexpr int threads = 128 * panels;
  /// What is there besides: of two warpgroups the first has dO N^T, the second Z N^T.
  static constexpr bool hasBoth = panels == 1;

  const Block& block;
  const DeltaGradientCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const DeltaLane at;
  const int warp, group, row0, numChunks;
  GradientTask task{};
  Sums query, erase, write, ofScores, ofProducts;

 public:
  __device__ explicit Gradient(const Block& block)
      : block(block),
        call(block.call),
        shared(block.shared),
        base(block.base),
        warp(at.warp - 4),
        group(warp / 4),
        row0(16 * (warp % 4)),
        numChunks(block.numChunks) {}

  __device__ void run() {
    RingPlace stage, ofPiece;
    for (;;) {
      float product = 0.0f;  // a thread's share of <S, D>
      Piece piece;
      clearSums();
      int lastStage = 0;
      for (int value = 0; value < call.V; value += 64) {
        block.stageFull(stage.slot).wait(stage.round);
        const GradientRecord record = *block.record(stage.slot);
        if (record.piece.x < 0) return;
        publishToProducts();
        piece = unpackPiece(record.piece);
        task = record.task;
        product += addValues(piece, stage.slot);
        lastStage = stage.slot;
        if (Layout::ownProducts || value + 64 < call.V) arriveOfWarp(block.stageFree(lastStage));
        stage = stage.ahead(1, 2);
      }
      block.pieceFull(ofPiece.slot).wait(ofPiece.round);
      finish(piece, Layout::pieces + ofPiece.slot * Layout::pieceBytes, Layout::ofScores(lastStage), product);
      if (!Layout::ownProducts) arriveOfWarp(block.stageFree(lastStage));
      arriveOfWarp(block.pieceFree(ofPiece.slot));
      ofPiece = ofPiece.ahead(1, Layout::pieceSlots);
    }
  }

 private:
  __device__ Tile<64> tile(int offset) const { return {base + offset}; }
  __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
  __device__ static bool meetsState(const Piece& piece) { return Block::meetsState(piece); }
  __device__ static bool meetsAdjoint(const Piece& piece) { return Block::meetsAdjoint(piece); }
  __device__ static TileRows rowsOf(const Piece& piece) { return Block::rowsOf(piece); }

  __device__ void clearSums() {
    clear(query);
    clear(erase);
    clear(write);
    clear(ofScores);
    if (hasBoth) clear(ofProducts);
  }
  /// Z N^T.
  __device__ Sums& keyProducts() { return hasBoth ? ofProducts : ofScores; }

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

  /// `offset`: of the piece's queries, keys and gates; `products`: of what the tokens give each other.
  __device__ void finish(const Piece& piece, int offset, int products, float product) {
    const TileRows rows = rowsOf(piece);
    joinBarrier(3, threads);  // of the piece before, and of this one's values, the products have been read
    float2* const facts = reinterpret_cast<float2*>(shared + Layout::ofTokens(products)) + tileTokens * warp;
    weighTokens(facts, call.g != nullptr ? floats(offset + Layout::gates) : nullptr,
                call.beta != nullptr ? floats(offset + Layout::beta) : nullptr, at.lane);
    if (hasBoth || group == 1)
      takeDiagonal(keyProducts(), floats(Layout::written) + tileTokens * panels, row0, at);
    if (call.g != nullptr)
      storeAllProducts<true>(products, facts);
    else
      storeAllProducts<false>(products, facts);
    const float last = facts[piece.high - 1].x;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float2 token = facts[row0 + at.group + 8 * i];
      const float into = exp2Fast(token.x), outOf = token.y * exp2Fast(last - token.x);
      const float ofErasing = hasEraseKeys ? exp2Fast(sumUpTo(facts, row0 + at.group + 8 * i, true)) : into;
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int j = 2 * i; j < 2 * i + 2; j++) {
          query[n][j] *= call.scale * into;
          erase[n][j] *= -ofErasing;
          write[n][j] *= outOf;
        }
    }
    const Tile<64> Q = tile(offset + Layout::queries + group * Layout::panel),
                   K = tile(offset + Layout::keys + group * Layout::panel),
                   B = hasEraseKeys ? tile(offset + Layout::eraseKeys + group * Layout::panel) : K;
    // <S', D>: what the state keeps of S, and what this piece writes into it.
    float end = 0.0f;
    if (call.g != nullptr)
      end = exp2Fast(last) * product + dotRow(write, K, row0, 0, at) + dotRow(write, K, row0, 1, at);
    publishToProducts();
    joinBarrier(3, threads);
    addTokens(Q, K, B, tile(products), tile(products + Layout::panel));
    storeDots(rows, Q, K, B);
    if (call.dbeta != nullptr) {
      joinBarrier(3, threads);
      storeBetaGradients(rows, facts);
    }
    if (call.g != nullptr && meetsAdjoint(piece)) storeEnd(piece.chunk, end);
    storeGradients(rows);
  }

  /// What has been summed over V of the tokens' products, as they take part in gradients: dO N^T up to the
  /// diagonal, Z N^T below it.
  template <bool decays>
  __device__ void storeAllProducts(int products, const float2* facts) const {
    const Tile<64> ofQueries = tile(products), ofKeys = tile(products + Layout::panel);
    if constexpr (hasBoth) {
      storeProducts<decays>(ofScores, ofQueries, facts, call.scale, false, row0, at);
      storeProducts<decays>(ofProducts, ofKeys, facts, -1.0f, hasEraseKeys, row0, at);
    } else {
      // In one, since a branch around `stmatrix` makes all products wait (C7520).
      storeProducts<decays>(ofScores, group == 0 ? ofQueries : ofKeys, facts, group == 0 ? call.scale : -1.0f,
                            hasEraseKeys && group != 0, row0, at);
    }
  }

  /// What the tokens of the piece give each other.
  __device__ void addTokens(Tile<64> Q, Tile<64> K, Tile<64> B, Tile<64> scores, Tile<64> products) {
    MmaA sBack[4], pBack[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      sBack[k] = loadATransposed(scores, 16 * k, row0, at.lane);
      pBack[k] = loadATransposed(products, 16 * k, row0, at.lane);
    }
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) {
      multiply<StoredB::columns>(query, scores, k, K, k);
      multiply<StoredB::columns>(erase, products, k, K, k);
      multiply<StoredB::columns>(write, sBack[k], Q, k);
      multiply<StoredB::columns>(write, pBack[k], B, k);
    }
    commitProducts();
    waitForProducts<0>();
  }

  __device__ int part() const {
    return Block::tileOf(task) * panels + group;
  }
  __device__ int channel() const {
    return 64 * part();
  }

  /// Shares of k . dk as written key, for dbeta and the gate, and of what rises with the gate.
  __device__ void storeDots(const TileRows& rows, Tile<64> Q, Tile<64> K, Tile<64> B) {
    float* const written = floats(Layout::written) + 64 * group;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float2 ofKeys = make_float2(0.0f, 0.0f);  // of those that are written, and that erase
      float rising = 0.0f;
      if (call.g != nullptr) {
        if constexpr (hasEraseKeys)
          ofKeys = make_float2(dotRow(write, K, row0, i, at), dotRow(erase, B, row0, i, at));
        else
          ofKeys = dotRows(write, erase, K, row0, i, at);
        rising = dotRow(query, Q, row0, i, at) + ofKeys.y;
      } else {
        ofKeys.x = dotRow(write, K, row0, i, at);
      }
      float falling = ofKeys.x;
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) {
        rising += __shfl_xor_sync(~0u, rising, distance);
        falling += __shfl_xor_sync(~0u, falling, distance);
        if (hasEraseKeys) ofKeys.y += __shfl_xor_sync(~0u, ofKeys.y, distance);
      }
      const int row = row0 + at.group + 8 * i;
      if (at.pairOf != 0) continue;
      written[row] = falling;
      if (call.g == nullptr || !rows.has(row) || channel() >= call.K) continue;
      const int64_t place =
          (static_cast<int64_t>(task.bh) * call.T + rows.first + row) * deltaDotParts(call.K) + part();
      call.risingDots[place] = rising;
      call.fallingDots[place] = falling;
      if (hasEraseKeys) call.eraseDots[place] = ofKeys.y;
    }
  }

  /// dbeta = k . dk / beta, dk as written key, which is Z . N / beta as well. Their mean is nearer to both,
  /// since most of what is rounded on the way to one is not on the way to the other.
  __device__ void storeBetaGradients(const TileRows& rows, const float2* facts) const {
    const int row = threadIdx.x - 128;
    if (row >= tileTokens || !rows.has(row)) return;
    const float* const written = floats(Layout::written);
    float sum = written[row];
#pragma unroll
    for (int panel = 1; panel < panels; panel++) sum += written[64 * panel + row];
    if (Block::tileOf(task) == 0) sum += written[64 * panels + row];
    const int64_t token = (Block::tileOf(task) * call.B + task.b(call)) * call.T + rows.first + row;
    call.dbeta[token * call.H + task.h(call)] = 0.5f * sum / facts[row].y;
  }

  /// The sum of a warpgroup's shares.
  __device__ void storeEnd(int chunk, float share) {
    float* const shares = floats(Layout::shares) + 4 * group;
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) share += __shfl_xor_sync(~0u, share, distance);
    if (at.lane == 0) shares[warp % 4] = share;
    joinBarrier(1 + group, 128);
    if (threadIdx.x % 128 == 0 && channel() < call.K)
      call.ends[(static_cast<int64_t>(task.bh) * numChunks + chunk) * deltaDotParts(call.K) + part()] =
          shares[0] + shares[1] + shares[2] + shares[3];
  }

  __device__ static void storeUnit(__nv_bfloat16* to, const uint32_t (&unit)[4]) {
    *reinterpret_cast<uint4*>(to) = make_uint4(unit[0], unit[1], unit[2], unit[3]);
  }

  __device__ void storeGradients(const TileRows& rows) {
    const int64_t pitch = static_cast<int64_t>(call.H) * call.K;
    const int64_t head = task.b(call) * call.T * pitch + task.h(call) * call.K;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + at.group + 8 * i;
#pragma unroll
      for (int n = 0; n < 8; n += 4) {
        uint32_t queries[4], keys[4], eraseKeys[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const float *fromQuery = &query[n + j][2 * i], *fromErase = &erase[n + j][2 * i],
                      *fromWrite = &write[n + j][2 * i];
          queries[j] = pack(fromQuery[0], fromQuery[1]);
          if constexpr (hasEraseKeys) {
            keys[j] = pack(fromWrite[0], fromWrite[1]);
            eraseKeys[j] = pack(fromErase[0], fromErase[1]);
          } else {
            keys[j] = pack(fromErase[0] + fromWrite[0], fromErase[1] + fromWrite[1]);
          }
        }
        transposeQuad(queries, at.lane);
        transposeQuad(keys, at.lane);
        if (hasEraseKeys) transposeQuad(eraseKeys, at.lane);
        const int column = channel() + 8 * n + 8 * (at.lane & 3);
        if (!rows.has(row) || column >= call.K) continue;
        const int64_t place = head + (rows.first + row) * pitch + column;
        storeUnit(call.dq + place, queries);
        storeUnit(call.dk + place, keys);
        if (hasEraseKeys) storeUnit(call.db + place, eraseKeys);
      }
    }
  }
};

template <int panels, bool hasEraseKeys>
__global__ void __launch_bounds__(128 * (panels + 1), LONGSCAN_WGMMA&& panels == 1 ? 2 : 1)
    gradientKernel(const __grid_constant__ DeltaGradientCall call,
                   const __grid_constant__ GradientMaps maps) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const GradientBlock<panels, hasEraseKeys> block(call, maps, shared);
  letNextKernelBegin();
  if (threadIdx.x == 0) block.initBarriers();
  __syncthreads();
  if (warpgroupNumber() == 0) {
    shrinkRegisters<panels == 1 ? 56 : 64>();
    GradientLoader<panels, hasEraseKeys>(block).run();
  } else {
    growRegisters<panels == 1 ? 200 : 216>();
    Gradient<panels, hasEraseKeys>(block).run();
  }
}

cudaError_t makeGradientMaps(const DeltaGradientCall& call, GradientMaps& maps) {
  maps.usable = call.K % 64 == 0 && call.V % 64 == 0 && canMapTensors();
  if (!maps.usable) return cudaSuccess;
  const int64_t chunks = call.B * call.H * ((call.T + tileTokens - 1) / tileTokens);
  // Where keys erase, the map of those of their own is not read.
  return mapTensors(
      {{maps.dO, {call.dO, call.B, call.T, call.H, call.V}},
       {maps.dv, {call.dv, call.B, call.T, call.H, call.V}},
       {maps.corrections,
        {call.corrections, call.B * call.H, chunks / (call.B * call.H) * tileTokens, 1, call.V}},
       {maps.states, {call.states, chunks, call.V, 1, call.K}},
       {maps.adjoints, {call.adjoints, chunks, call.V, 1, call.K}},
       {maps.q, {call.q, call.B, call.T, call.H, call.K}},
       {maps.k, {call.k, call.B, call.T, call.H, call.K}},
       {maps.b, {call.b != nullptr ? call.b : call.k, call.B, call.T, call.H, call.K}}},
      64, tileTokens);
}

template <int panels, bool hasEraseKeys>
cudaError_t launch(const DeltaGradientCall& call, cudaStream_t stream) {
  constexpr int bytes = GradientLayout<panels, hasEraseKeys>::bytes;
  const auto kernel = gradientKernel<panels, hasEraseKeys>;
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  GradientMaps maps{};
  if ((error = makeGradientMaps(call, maps)) != cudaSuccess) return error;
  DeltaDevice device;
  if ((error = deltaDevice(device)) != cudaSuccess) return error;
  const int64_t chunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t tasks = chunks * call.B * call.H * deltaGradientTiles(call.K, panels);
  const int64_t room = device.multiprocessors * (panels == 1 ? 2 : 1);
  const dim3 grid(static_cast<unsigned>(min(tasks, room)));
  const int threads = 128 * (panels + 1);
  if (call.finished != nullptr) return launchBeside(kernel, grid, threads, bytes, stream, call, maps);
  kernel<<<grid, threads, bytes, stream>>>(call, maps);
  return cudaGetLastError();
}

template <bool hasEraseKeys>
cudaError_t launch(const DeltaGradientCall& call, cudaStream_t stream) {
  return call.K <= 64 ? launch<1, hasEraseKeys>(call, stream) : launch<2, hasEraseKeys>(call, stream);
}

template <bool hasEraseKeys>
constexpr int sharedBytes(int K) {
  return K <= 64 ? GradientLayout<1, hasEraseKeys>::bytes : GradientLayout<2, hasEraseKeys>::bytes;
}

}  // namespace

cudaError_t launchDeltaGradient(const DeltaGradientCall& call, cudaStream_t stream) {
  return call.b != nullptr ? launch<true>(call, stream) : launch<false>(call, stream);
}

bool deltaGradientFits(const DeltaDevice& device, int K, bool hasEraseKeys) {
  return device.sharedBytes >= (hasEraseKeys ? sharedBytes<true>(K) : sharedBytes<false>(K));
}

}  // namespace longscan
