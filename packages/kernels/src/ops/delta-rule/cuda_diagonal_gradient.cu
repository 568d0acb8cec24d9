#include "cuda_diagonal.cuh"
#include "cuda_diagonal_gradient.h"
#include "cuda_prepare.h"

namespace longscan {

namespace {

using KeyPanel = FloatPanel<68>;

/// 64 channels of V at a time: two stages of what is per token, one of the states. Decayed tokens and the
/// gradients of scores take their place afterwards, and then what dg is a sum of.
struct DiagonalGradientLayout {
  static constexpr int panel = Tile<64>::bytes;
  static constexpr int states = 0;  // S, D
  static constexpr int tokens = 2 * panel;
  static constexpr int tokensBytes = 3 * panel;  // dO, dv, N
  static constexpr int endKeys = 0;
  static constexpr int intoQueries = endKeys + KeyPanel::bytes;
  static constexpr int intoKeys = intoQueries + KeyPanel::bytes;
  static constexpr int weights = intoKeys + KeyPanel::bytes;
  static constexpr int writeGradients = endKeys;
  static constexpr int changes = intoQueries;
  static constexpr int quarters = intoKeys;
  static constexpr int queries = weights + KeyPanel::bytes;
  static constexpr int keys = queries + panel;
  static constexpr int gates = keys + panel;
  static constexpr int subs = gates + GatePanel::bytes;
  static constexpr int products = subs + SubDecays::bytes;  // shares of the four warps
  static constexpr int behind = products + 4 * 64 * 4;
  static constexpr int gamma = behind + 4 * 64 * 4;
  static constexpr int beta = gamma + 64 * 4;
  static constexpr int bytes = beta + 64 * 4;
  static_assert(tokens + 2 * tokensBytes <= queries, "stages lie where decayed tokens will");
};

/// One block: a chunk of a head, 64 channels of K. The first warpgroup `reads`: it has the gradients of
/// queries and erase keys; the second has those of written keys.
template <bool reads>
class DiagonalGradient {
  using Layout = DiagonalGradientLayout;
  enum Barrier { writeGradientsThere = 1 };

  const DeltaDiagonalGradientCall& call;
  unsigned char* const shared;
  const uint32_t base;
  const DeltaLane at;
  const int row0, chunk, channel, bh, b, h;
  const Tile<64> Q, K;
  const GatePanel c;
  const KeyPanel endKeys, intoQueries, intoKeys;
  /// The gradients of scores below the diagonal and on it, those of products of keys, transposed, above it.
  const KeyPanel weights;
  const SubDecays subs;
  Sums query, erase, write;  // the first two, or the third

 public:
  __device__ DiagonalGradient(const DeltaDiagonalGradientCall& call, unsigned char* shared)
      : call(call),
        shared(shared),
        base(sharedAddress(shared)),
        row0(subTokens * (at.warp % 4)),
        chunk(blockIdx.x / ((call.K + 63) / 64)),
        channel(blockIdx.x % ((call.K + 63) / 64) * 64),
        bh(blockIdx.y),
        b(bh / call.H),
        h(bh % call.H),
        Q{base + Layout::queries},
        K{base + Layout::keys},
        c{floats(Layout::gates)},
        endKeys{floats(Layout::endKeys)},
        intoQueries{floats(Layout::intoQueries)},
        intoKeys{floats(Layout::intoKeys)},
        weights{floats(Layout::weights)},
        subs{floats(Layout::subs)} {}

  __device__ void run() {
    for (int low = 0, closed = false; !closed;) {
      const Piece piece = pieceFrom(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, low);
      low = piece.high;
      closed = piece.closesChunk;
      multiplyValues(piece);
      __syncthreads();
      decayTokens();
      __syncthreads();
      if constexpr (reads)
        readEarlier();
      else
        readLater(piece);
      __syncthreads();
      store(piece);
      __syncthreads();
    }
  }

 private:
  __device__ float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }
  __device__ Tile<64> tile(int offset) const { return {base + offset}; }
  // What a document's first token meets is nothing; what lies behind a piece that ends its chunk is D.
  __device__ static bool meetsState(const Piece& piece) { return !piece.fresh; }
  __device__ static bool meetsAdjoint(const Piece& piece) { return piece.closesChunk; }
  __device__ TileRows rowsOf(const Piece& piece) const {
    return {static_cast<int64_t>(chunk) * tileTokens, piece.low, piece.high, false};
  }
  /// The warp's sub-chunk.
  __device__ int sub() const { return at.warp % 4; }
  __device__ float betaOf(int row) const { return floats(Layout::beta)[row]; }

  __device__ void fillTokens(const Piece& piece, int stage, int value) const {
    const int offset = Layout::tokens + stage * Layout::tokensBytes;
    const int pitch = call.H * call.V;
    const int64_t head = b * call.T * pitch + h * call.V;
    const TileRows rows = rowsOf(piece);
    fillTile<64, diagonalThreads>(tile(offset), call.dO + head, pitch, value, call.V, rows);
    fillTile<64, diagonalThreads>(tile(offset + Layout::panel), call.dv + head, pitch, value, call.V, rows);
    fillTile<64, diagonalThreads>(tile(offset + 2 * Layout::panel), call.corrections + head, pitch, value,
                                  call.V, rows);
  }

  __device__ void fillStates(const Piece& piece, int value) const {
    const TileRows values{value, 0, min(64, call.V - value), false};
    const int64_t numChunks = (call.T + tileTokens - 1) / tileTokens;
    const int64_t place = (bh * numChunks + chunk) * call.V * call.K;
    if (meetsState(piece))
      fillTile<64, diagonalThreads>(tile(Layout::states), call.states + place, call.K, channel, call.K,
                                    values);
    if (meetsAdjoint(piece))
      fillTile<64, diagonalThreads>(tile(Layout::states + Layout::panel), call.adjoints + place, call.K,
                                    channel, call.K, values);
  }

  __device__ void fillPiece(const Piece& piece) const {
    const int pitch = call.H * call.K;
    const int64_t head = b * call.T * pitch + h * call.K;
    const TileRows rows = rowsOf(piece);
    fillTile<64, diagonalThreads>(Q, call.q + head, pitch, channel, call.K, rows);
    fillTile<64, diagonalThreads>(K, call.k + head, pitch, channel, call.K, rows);
    fillGates(c, call.g + head, pitch, channel, call.K, rows);
    if (threadIdx.x >= 64) return;
    const int row = threadIdx.x;
    const int64_t token = (b * call.T + rows.first + row) * call.H + h;
    floats(Layout::beta)[row] = !rows.has(row) ? 0.0f : call.beta ? usableBeta(call.beta[token]) : 1.0f;
  }

  /// sum += A B over 64 channels of V.
  template <StoredB stored>
  __device__ static void multiplyTiles(Sums& sum, Tile<64> a, Tile<64> b) {
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<stored>(sum, a, k, b, k);
  }

  /// All products that run over V, and the sums of gates under them.
  __device__ void multiplyValues(const Piece& piece) {
    const bool state = meetsState(piece), adjoint = meetsAdjoint(piece);
    fillPiece(piece);
    fillTokens(piece, 0, 0);
    fillStates(piece, 0);
    commitCopies();
    Sums weight;  // of scores, or of products of keys
    clear(weight);
    if constexpr (reads) {
      clear(query);
      clear(erase);
    } else {
      clear(write);
    }
    float product[8] = {};
    for (int value = 0, stage = 0; value < call.V; value += 64, stage ^= 1) {
      if (value > 0) fillStates(piece, value);
      commitCopies();
      if (value + 64 < call.V) fillTokens(piece, stage ^ 1, value + 64);
      commitCopies();
      waitForCopies<1>();
      publishToProducts();
      __syncthreads();
      const int offset = Layout::tokens + stage * Layout::tokensBytes;
      const Tile<64> dO = tile(offset), Z = tile(offset + Layout::panel),
                     N = tile(offset + 2 * Layout::panel);
      const Tile<64> S = tile(Layout::states), D = tile(Layout::states + Layout::panel);
      beginProducts();
      multiplyTiles<StoredB::rows>(weight, reads ? dO : Z, N);
      if constexpr (reads) {
        if (state) {
          multiplyTiles<StoredB::columns>(query, dO, S);
          multiplyTiles<StoredB::columns>(erase, Z, S);
        }
      } else if (adjoint) {
        multiplyTiles<StoredB::columns>(write, N, D);
      }
      commitProducts();
      if (!reads && state && adjoint) addStateProducts(product, S, D);
      if (value == 0) sumSubGates(c, subs);
      waitForProducts<0>();
      __syncthreads();
    }
    const float gamma = fillDecays(subs);
    if (threadIdx.x < 64) floats(Layout::gamma)[threadIdx.x] = gamma;
    if (!reads) storeStateProducts(product);
    storeWeights(weight);
  }

  /// Shares of rowsum_V(S o D) for eight channels.
  __device__ static void addStateProducts(float (&product)[8], Tile<64> S, Tile<64> D) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = threadIdx.x % 128 / 8 + 16 * i;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int column = threadIdx.x % 8 * 8 + 4 * half;
        float s[4], d[4];
        loadFour(s, S, row, column);
        loadFour(d, D, row, column);
#pragma unroll
        for (int j = 0; j < 4; j++) product[4 * half + j] += s[j] * d[j];
      }
    }
  }

  __device__ void storeStateProducts(float (&product)[8]) const {
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
      for (int distance = 8; distance < 32; distance *= 2)
        product[j] += __shfl_xor_sync(~0u, product[j], distance);
    if (at.lane >= 8) return;
    float* const to = floats(Layout::products) + 64 * (at.warp % 4) + 8 * at.lane;
#pragma unroll
    for (int j = 0; j < 8; j++) to[j] = product[j];
  }

  __device__ void storeWeights(const Sums& weight) const {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int row = row0 + at.group + 8 * (j / 2), column = 8 * n + at.pairOf + j % 2;
        const float rounded = __uint_as_float(roundToTf32(weight[n][j]));
        if (reads && column <= row) weights.at(row, column) = rounded;
        if (!reads && column < row) weights.at(column, row) = rounded;
      }
  }

  /// Tokens as the other sub-chunks meet them, with what their weights are to be multiplied by.
  __device__ void decayTokens() const {
    const int own = threadIdx.x % 16 * 4;
#pragma unroll
    for (int sub = 0; sub < numSubs; sub++) {
      const int row = subTokens * sub + threadIdx.x / 16;
      const float beta = betaOf(row);
      float q[4], k[4], sum[4], end[4];
      loadFour(q, Q, row, own);
      loadFour(k, K, row, own);
      loadFour(sum, &c.at(row, own));
      loadFour(end, subs.totals(sub) + own);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float into = exp2Fast(sum[i]);
        end[i] = beta * k[i] * exp2Fast(end[i] - sum[i]);
        q[i] *= call.scale * into;
        k[i] *= -into;
      }
      storeFour(&endKeys.at(row, own), end);
      storeFour(&intoQueries.at(row, own), q);
      storeFour(&intoKeys.at(row, own), k);
    }
  }

  /// Whether some channel decays so far in the warp's sub-chunk that its pairs are taken one by one.
  __device__ bool isDeep() const {
    const float2 total = *reinterpret_cast<const float2*>(subs.totals(sub()) + 2 * at.lane);
    return __any_sync(~0u, fminf(total.x, total.y) < deepest);
  }

  /// A thread's channels 8 n + pairOf and the next of a row in shared memory.
  __device__ float2 pairOf(const float* row, int n) const {
    return *reinterpret_cast<const float2*>(row + 8 * n + at.pairOf);
  }
  __device__ float2 pairOf(Tile<64> tile, int row, int n) const {
    const uint32_t both = loadShared(tile.address(row, n) + 2 * at.pairOf);
    return make_float2(lowHalf(both), highHalf(both));
  }

  /// visit(row, n, j, c, total) for the places [n][j] and [n][j + 1] of a thread's sums.
  template <typename Visit>
  __device__ void eachPair(Visit&& visit) const {
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float2 total = pairOf(subs.totals(sub()), n);
#pragma unroll
      for (int j = 0; j < 4; j += 2) {
        const int row = row0 + at.group + 4 * j;
        visit(row, n, j, pairOf(&c.at(row, 0), n), total);
      }
    }
  }

  /// Each column times factor[column].
  __device__ void scaleColumns(Sums& sum, const float* factor) const {
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float2 f = pairOf(factor, n);
#pragma unroll
      for (int j = 0; j < 4; j++) sum[n][j] *= j % 2 ? f.y : f.x;
    }
  }

  /// What queries and erase keys get from the state and from earlier keys: sub-chunk by sub-chunk, what there
  /// is so far decays to its end and its keys are added.
  __device__ void readEarlier() {
    const bool deep = isDeep();
#pragma unroll 1
    for (int other = 0; other <= sub(); other++) {
      if (other == sub() && deep) break;
      scaleColumns(query, subs.decays(other));
      scaleColumns(erase, subs.decays(other));
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const int token = subTokens * other + 8 * step + at.pairOf;
        uint32_t ofScores[4], ofProducts[4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int row = row0 + at.group + 8 * i;
          const uint2 pair = weights.pairBitsAt(row, token);
          ofScores[i] = token <= row ? pair.x : 0;
          ofScores[i + 2] = token + 1 <= row ? pair.y : 0;
          ofProducts[i] = token < row ? weights.bitsAt(token, row) : 0;
          ofProducts[i + 2] = token + 1 < row ? weights.bitsAt(token + 1, row) : 0;
        }
#pragma unroll
        for (int n = 0; n < 8; n++) {
          const uint32_t near = endKeys.bitsAt(token, 8 * n + at.group),
                         far = endKeys.bitsAt(token + 1, 8 * n + at.group);
          mmaTf32(query[n], ofScores, near, far);
          mmaTf32(erase[n], ofProducts, near, far);
        }
      }
    }
    // From the end of the sub-chunk back to the row, or on to it from the start.
    eachPair([&](int, int n, int j, float2 sum, float2 total) {
      const float near = exp2Fast(deep ? sum.x : sum.x - total.x),
                  far = exp2Fast(deep ? sum.y : sum.y - total.y);
      query[n][j] *= call.scale * near;
      query[n][j + 1] *= call.scale * far;
      erase[n][j] *= -near;
      erase[n][j + 1] *= -far;
    });
    if (!deep) return;
#pragma unroll 1
    for (int token = row0; token < row0 + subTokens; token++) {
      const float beta = betaOf(token);
      eachPair([&](int row, int n, int j, float2 sum, float2) {
        const float ofScore = token <= row ? call.scale * beta * weights.at(row, token) : 0.0f;
        const float ofProduct = token < row ? beta * weights.at(token, row) : 0.0f;
        const float2 start = pairOf(&c.at(token, 0), n), key = pairOf(K, token, n);
        const float near = key.x * exp2Fast(fminf(sum.x - start.x, 0.0f)),
                    far = key.y * exp2Fast(fminf(sum.y - start.y, 0.0f));
        query[n][j] += ofScore * near;
        query[n][j + 1] += ofScore * far;
        erase[n][j] -= ofProduct * near;
        erase[n][j + 1] -= ofProduct * far;
      });
    }
  }

  /// What written keys get from the adjoint and from later queries and erase keys, likewise against time.
  __device__ void readLater(const Piece& piece) {
    if (meetsAdjoint(piece)) storeBehind();
    const bool deep = isDeep();
#pragma unroll 1
    for (int other = numSubs - 1; other >= sub(); other--) {
      if (other == sub() && deep) break;
      scaleColumns(write, subs.decays(other));
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const int token = subTokens * other + 8 * step + at.pairOf;
        uint32_t ofScores[4], ofProducts[4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int row = row0 + at.group + 8 * i;
          const uint2 pair = weights.pairBitsAt(row, token);
          ofProducts[i] = token > row ? pair.x : 0;
          ofProducts[i + 2] = token + 1 > row ? pair.y : 0;
          ofScores[i] = token >= row ? weights.bitsAt(token, row) : 0;
          ofScores[i + 2] = token + 1 >= row ? weights.bitsAt(token + 1, row) : 0;
        }
#pragma unroll
        for (int n = 0; n < 8; n++) {
          const int column = 8 * n + at.group;
          mmaTf32(write[n], ofScores, intoQueries.bitsAt(token, column),
                  intoQueries.bitsAt(token + 1, column));
          mmaTf32(write[n], ofProducts, intoKeys.bitsAt(token, column), intoKeys.bitsAt(token + 1, column));
        }
      }
    }
    eachPair([&](int row, int n, int j, float2 sum, float2 total) {
      const float beta = betaOf(row);
      write[n][j] *= beta * exp2Fast(deep ? total.x - sum.x : -sum.x);
      write[n][j + 1] *= beta * exp2Fast(deep ? total.y - sum.y : -sum.y);
    });
    if (!deep) return;
#pragma unroll 1
    for (int token = row0; token < row0 + subTokens; token++)
      eachPair([&](int row, int n, int j, float2 sum, float2) {
        const float beta = betaOf(row);
        const float ofScore = token >= row ? call.scale * beta * weights.at(token, row) : 0.0f;
        const float ofProduct = token > row ? beta * weights.at(row, token) : 0.0f;
        const float2 end = pairOf(&c.at(token, 0), n);
        const float2 query = pairOf(Q, token, n), key = pairOf(K, token, n);
        write[n][j] += (ofScore * query.x - ofProduct * key.x) * exp2Fast(fminf(end.x - sum.x, 0.0f));
        write[n][j + 1] += (ofScore * query.y - ofProduct * key.y) * exp2Fast(fminf(end.y - sum.y, 0.0f));
      });
  }

  /// Shares of what the chunk's keys get from behind it, as a part of dg: sum_j k_j o dk_j.
  __device__ void storeBehind() const {
    float sums[16] = {};
    eachPair([&](int row, int n, int j, float2 sum, float2 total) {
      const float2 key = pairOf(K, row, n), after = pairOf(subs.after(sub()), n);
      const float beta = betaOf(row);
      sums[2 * n] += beta * key.x * exp2Fast(total.x - sum.x) * after.x * write[n][j];
      sums[2 * n + 1] += beta * key.y * exp2Fast(total.y - sum.y) * after.y * write[n][j + 1];
    });
#pragma unroll
    for (int i = 0; i < 16; i++)
#pragma unroll
      for (int distance = 4; distance < 32; distance *= 2) sums[i] += __shfl_xor_sync(~0u, sums[i], distance);
    if (at.group != 0) return;
    float* const to = floats(Layout::behind) + 64 * sub() + at.pairOf;
#pragma unroll
    for (int n = 0; n < 8; n++)
      *reinterpret_cast<float2*>(to + 8 * n) = make_float2(sums[2 * n], sums[2 * n + 1]);
  }

  __device__ void store(const Piece& piece) {
    const KeyPanel writeGradients{floats(Layout::writeGradients)}, changes{floats(Layout::changes)};
    if constexpr (reads) {
      storeGradient(rowsOf(piece), query, call.dq);
      joinBarrier(writeGradientsThere, diagonalThreads);
      eachPair([&](int row, int n, int j, float2, float2) {
        const float2 q = pairOf(Q, row, n), k = pairOf(K, row, n),
                     written = writeGradients.pairAt(row, 8 * n + at.pairOf);
        changes.pairAt(row, 8 * n + at.pairOf) =
            make_float2(q.x * query[n][j] + k.x * (erase[n][j] - written.x),
                        q.y * query[n][j + 1] + k.y * (erase[n][j + 1] - written.y));
        erase[n][j] += written.x;
        erase[n][j + 1] += written.y;
      });
      storeGradient(rowsOf(piece), erase, call.dk);
    } else {
      eachPair([&](int row, int n, int j, float2, float2) {
        writeGradients.pairAt(row, 8 * n + at.pairOf) = make_float2(write[n][j], write[n][j + 1]);
      });
      announceAtBarrier(writeGradientsThere, diagonalThreads);
      if (call.dbeta != nullptr) storeBetaGradients(rowsOf(piece));
    }
    __syncthreads();
    storeGateGradients(piece, changes);
  }

  /// Shares of dbeta = k . dk / beta, dk as written key. (Z . N / beta is the same from numbers rounded once
  /// more.)
  __device__ void storeBetaGradients(const TileRows& rows) const {
    float dots[2] = {};
    eachPair([&](int row, int n, int j, float2, float2) {
      const float2 k = pairOf(K, row, n);
      dots[j / 2] += k.x * write[n][j] + k.y * write[n][j + 1];
    });
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) dots[i] += __shfl_xor_sync(~0u, dots[i], distance);
      const int row = row0 + at.group + 8 * i;
      if (at.pairOf != 0 || !rows.has(row)) continue;
      const int64_t token = b * call.T + rows.first + row;
      call.dbeta[(channel / 64 * call.B * call.T + token) * call.H + h] = dots[i] / betaOf(row);
    }
  }

  __device__ void storeGradient(const TileRows& rows, const Sums& gradient, __nv_bfloat16* to) const {
    const int64_t pitch = static_cast<int64_t>(call.H) * call.K;
    const int64_t head = b * call.T * pitch + h * call.K;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + at.group + 8 * i;
#pragma unroll
      for (int n = 0; n < 8; n += 4) {
        uint32_t packed[4];
#pragma unroll
        for (int j = 0; j < 4; j++) packed[j] = pack(gradient[n + j][2 * i], gradient[n + j][2 * i + 1]);
        transposeQuad(packed, at.lane);
        const int column = channel + 8 * n + 8 * (at.lane & 3);
        if (rows.has(row) && column < call.K)
          *reinterpret_cast<uint4*>(to + head + (rows.first + row) * pitch + column) =
              make_uint4(packed[0], packed[1], packed[2], packed[3]);
      }
    }
  }

  /// A thread has a quarter of the tokens of one channel.
  __device__ void storeGateGradients(const Piece& piece, KeyPanel changes) const {
    const int column = threadIdx.x % 64, quarter = threadIdx.x / 64, first = subTokens * quarter;
    float sums[subTokens], sum = 0.0f;
#pragma unroll
    for (int i = subTokens - 1; i >= 0; i--) {
      sum += changes.at(first + i, column);
      sums[i] = sum;
    }
    floats(Layout::quarters)[64 * quarter + column] = sum;
    __syncthreads();
    float later = 0.0f, product = 0.0f;
    for (int i = quarter + 1; i < numSubs; i++) later += floats(Layout::quarters)[64 * i + column];
    if (meetsAdjoint(piece)) {
#pragma unroll
      for (int warp = 0; warp < 4; warp++) {
        later += floats(Layout::behind)[64 * warp + column];
        product += floats(Layout::products)[64 * warp + column];
      }
      if (meetsState(piece)) later += floats(Layout::gamma)[column] * product;
    }
    if (channel + column >= call.K) return;
    const int64_t pitch = static_cast<int64_t>(call.H) * call.K;
    const int64_t token = b * call.T + static_cast<int64_t>(chunk) * tileTokens + first;
    float* const to = call.dg + token * pitch + h * call.K + channel + column;
#pragma unroll
    for (int i = 0; i < subTokens; i++) {
      const int row = first + i;
      if (row < piece.low || row >= piece.high) continue;
      const bool meetsNothing =
          row == piece.low && (piece.fresh || (call.fromZero && chunk == 0 && row == 0));
      to[i * pitch] = meetsNothing ? 0.0f : sums[i] + later;
    }
  }
};

__global__ void __launch_bounds__(diagonalThreads, 2)
    diagonalGradientKernel(const __grid_constant__ DeltaDiagonalGradientCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  if (warpgroupNumber() == 0)
    DiagonalGradient<true>(call, shared).run();
  else
    DiagonalGradient<false>(call, shared).run();
}

}  // namespace

cudaError_t launchDeltaDiagonalGradient(const DeltaDiagonalGradientCall& call, cudaStream_t stream) {
  constexpr int bytes = DiagonalGradientLayout::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(diagonalGradientKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  // Blocks of one chunk side by side: they read the same tokens.
  const int64_t blocks = (call.T + tileTokens - 1) / tileTokens * ((call.K + 63) / 64);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(call.B * call.H));
  diagonalGradientKernel<<<grid, diagonalThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
