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
  static constexpr int shares = endKeys;
  static constexpr int changes = intoQueries;
  static constexpr int quarters = intoKeys;
  static constexpr int dots = quarters + numSubs * 64 * 4;
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

/// One block: a chunk of a head, 64 channels of K. The first warpgroup has what comes from outputs: the
/// gradients of queries, and of written keys as far as queries and D read them. The second has what comes
/// from Z: those of erase keys, and of written keys as far as they are erased. So a warp, which has one
/// sub-chunk's rows, meets the sub-chunks before it and those after it once each: five blocks of weights for
/// every warp.
template <bool ofOutput>
class DiagonalGradient {
  using Layout = DiagonalGradientLayout;
  enum Barrier { shareThere = 1 };

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
  Sums read, write;  // gradients of queries or erase keys; a share of those of written keys

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
      if (ofOutput && meetsAdjoint(piece)) storeBehind();
      readEarlier();
      readLater();
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

  /// Asks for the states' rows from `value` on, which are loaded when those before are used up.
  __device__ void prefetchStates(const Piece& piece, int value) const {
    const int row = threadIdx.x % 64 + value;
    const __nv_bfloat16* const states = threadIdx.x < 64 ? call.states : call.adjoints;
    const int64_t numChunks = (call.T + tileTokens - 1) / tileTokens;
    const bool met = threadIdx.x < 64 ? meetsState(piece) : meetsAdjoint(piece);
    if (threadIdx.x < 128 && met && row < call.V)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(
          states + ((bh * numChunks + chunk) * call.V + row) * call.K + channel));
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
    prefetchStates(piece, 64);
    Sums weight;  // of scores, or of products of keys
    clear(weight);
    clear(read);
    clear(write);
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
      multiplyTiles<StoredB::rows>(weight, ofOutput ? dO : Z, N);
      if (state) multiplyTiles<StoredB::columns>(read, ofOutput ? dO : Z, S);
      if (ofOutput && adjoint) multiplyTiles<StoredB::columns>(write, N, D);
      commitProducts();
      if (!ofOutput && state && adjoint) addStateProducts(product, S, D);
      if (value == 0) sumSubGates(c, subs);
      waitForProducts<0>();
      __syncthreads();
    }
    const float gamma = fillDecays(subs);
    if (threadIdx.x < 64) floats(Layout::gamma)[threadIdx.x] = gamma;
    if (!ofOutput) storeStateProducts(product);
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
        if (ofOutput && column <= row) weights.at(row, column) = rounded;
        if (!ofOutput && column < row) weights.at(column, row) = rounded;
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

  /// Whether a row reads a token's key.
  __device__ static bool reads(int row, int token) {
    return ofOutput ? token <= row : token < row;
  }
  __device__ float weightOf(int row, int token) const {
    return ofOutput ? weights.at(row, token) : weights.at(token, row);
  }
  /// Weights of the warp's rows and 8 tokens as first operand, tf32: for each `reads(row, token)`, or the
  /// other way about. Which of the two lies along the square's rows is a matter of how it is stored.
  template <bool alongRows, typename There>
  __device__ void loadWeights(uint32_t (&a)[4], int token, There&& there) const {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + at.group + 8 * i;
      const uint2 pair = alongRows ? weights.pairBitsAt(row, token)
                                   : make_uint2(weights.bitsAt(token, row), weights.bitsAt(token + 1, row));
      a[i] = there(row, token) ? pair.x : 0;
      a[i + 2] = there(row, token + 1) ? pair.y : 0;
    }
  }

  /// sum += a times 8 tokens' rows of a panel.
  __device__ void addTokens(Sums& sum, const uint32_t (&a)[4], KeyPanel panel, int token) const {
#pragma unroll
    for (int n = 0; n < 8; n++)
      mmaTf32(sum[n], a, panel.bitsAt(token, 8 * n + at.group), panel.bitsAt(token + 1, 8 * n + at.group));
  }

  /// What queries or erase keys get from the state and from earlier keys: sub-chunk by sub-chunk, what there
  /// is so far decays to its end and its keys are added.
  __device__ void readEarlier() {
    const bool deep = isDeep();
#pragma unroll 1
    for (int other = 0; other <= sub(); other++) {
      if (other == sub() && deep) break;
      scaleColumns(read, subs.decays(other));
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const int token = subTokens * other + 8 * step + at.pairOf;
        uint32_t a[4];
        loadWeights<ofOutput>(a, token, [](int row, int token) { return reads(row, token); });
        addTokens(read, a, endKeys, token);
      }
    }
    // From the end of the sub-chunk back to the row, or on to it from the start.
    const float sign = ofOutput ? call.scale : -1.0f;
    eachPair([&](int, int n, int j, float2 sum, float2 total) {
      read[n][j] *= sign * exp2Fast(deep ? sum.x : sum.x - total.x);
      read[n][j + 1] *= sign * exp2Fast(deep ? sum.y : sum.y - total.y);
    });
    if (!deep) return;
#pragma unroll 1
    for (int token = row0; token < row0 + subTokens; token++) {
      const float factor = sign * betaOf(token);
      eachPair([&](int row, int n, int j, float2 sum, float2) {
        const float weight = reads(row, token) ? factor * weightOf(row, token) : 0.0f;
        const float2 start = pairOf(&c.at(token, 0), n), key = pairOf(K, token, n);
        read[n][j] += weight * key.x * exp2Fast(fminf(sum.x - start.x, 0.0f));
        read[n][j + 1] += weight * key.y * exp2Fast(fminf(sum.y - start.y, 0.0f));
      });
    }
  }

  /// What written keys get from the adjoint and from later queries or erase keys, likewise against time.
  __device__ void readLater() {
    const bool deep = isDeep();
#pragma unroll 1
    for (int other = numSubs - 1; other >= sub(); other--) {
      if (other == sub() && deep) break;
      scaleColumns(write, subs.decays(other));
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const int token = subTokens * other + 8 * step + at.pairOf;
        uint32_t a[4];
        loadWeights<!ofOutput>(a, token, [](int row, int token) { return reads(token, row); });
        addTokens(write, a, ofOutput ? intoQueries : intoKeys, token);
      }
    }
    eachPair([&](int row, int n, int j, float2 sum, float2 total) {
      const float beta = betaOf(row);
      write[n][j] *= beta * exp2Fast(deep ? total.x - sum.x : -sum.x);
      write[n][j + 1] *= beta * exp2Fast(deep ? total.y - sum.y : -sum.y);
    });
    if (!deep) return;
    const float sign = ofOutput ? call.scale : -1.0f;
#pragma unroll 1
    for (int token = row0; token < row0 + subTokens; token++)
      eachPair([&](int row, int n, int j, float2 sum, float2) {
        const float weight = reads(token, row) ? sign * betaOf(row) * weightOf(token, row) : 0.0f;
        const float2 end = pairOf(&c.at(token, 0), n), reader = pairOf(ofOutput ? Q : K, token, n);
        write[n][j] += weight * reader.x * exp2Fast(fminf(end.x - sum.x, 0.0f));
        write[n][j + 1] += weight * reader.y * exp2Fast(fminf(end.y - sum.y, 0.0f));
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

  /// The second warpgroup hands its shares to the first. `changes` are what dg is a sum of.
  __device__ void store(const Piece& piece) {
    const TileRows rows = rowsOf(piece);
    const KeyPanel shares{floats(Layout::shares)}, changes{floats(Layout::changes)};
    float* const dots = floats(Layout::dots);
    if constexpr (ofOutput) {
      storeGradient(rows, read, call.dq);
      joinBarrier(shareThere, diagonalThreads);
      if (call.dbeta != nullptr)
        dotWrite([&](int row, float dot) {
          const int64_t token = b * call.T + rows.first + row;
          if (rows.has(row))
            call.dbeta[(channel / 64 * call.B * call.T + token) * call.H + h] =
                (dot + dots[row]) / betaOf(row);
        });
      eachPair([&](int row, int n, int j, float2, float2) {
        const float2 q = pairOf(Q, row, n), k = pairOf(K, row, n);
        const float2 share = shares.pairAt(row, 8 * n + at.pairOf);
        float2& change = changes.pairAt(row, 8 * n + at.pairOf);
        change.x += q.x * read[n][j] - k.x * write[n][j];
        change.y += q.y * read[n][j + 1] - k.y * write[n][j + 1];
        write[n][j] += share.x;
        write[n][j + 1] += share.y;
      });
      storeGradient(rows, write, call.dk);
    } else {
      dotWrite([&](int row, float dot) { dots[row] = dot; });
      eachPair([&](int row, int n, int j, float2, float2) {
        const float2 k = pairOf(K, row, n);
        shares.pairAt(row, 8 * n + at.pairOf) =
            make_float2(read[n][j] + write[n][j], read[n][j + 1] + write[n][j + 1]);
        changes.pairAt(row, 8 * n + at.pairOf) =
            make_float2(k.x * (read[n][j] - write[n][j]), k.y * (read[n][j + 1] - write[n][j + 1]));
      });
      announceAtBarrier(shareThere, diagonalThreads);
    }
    __syncthreads();
    storeGateGradients(piece, changes);
  }

  /// visit(row, dot) of k . dk for each row, dk this warpgroup's share as written key: a share of dbeta times
  /// beta. (Z . N is the same from numbers that are rounded once more.)
  template <typename Visit>
  __device__ void dotWrite(Visit&& visit) const {
    float dots[2] = {};
    eachPair([&](int row, int n, int j, float2, float2) {
      const float2 k = pairOf(K, row, n);
      dots[j / 2] += k.x * write[n][j] + k.y * write[n][j + 1];
    });
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) dots[i] += __shfl_xor_sync(~0u, dots[i], distance);
      if (at.pairOf == 0) visit(row0 + at.group + 8 * i, dots[i]);
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
