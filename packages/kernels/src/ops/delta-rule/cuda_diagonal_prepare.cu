#include "cuda_diagonal.cuh"
#include "cuda_diagonal_prepare.h"
#include "cuda_inverse.cuh"
#include "cuda_prepare.h"

namespace longscan {

namespace {

/// A panel of 64 channels. Once all panels are through, squares take the place of gates and keys decayed to
/// the end, the inverse and values that of queries and keys. At last the erase keys, a tile for each panel.
struct DiagonalPrepareLayout {
  static constexpr int queries = 0;
  static constexpr int keys = queries + Tile<64>::bytes;
  static constexpr int inverse = queries;
  static constexpr int values = keys;
  static constexpr int gates = keys + Tile<64>::bytes;
  static constexpr int endKeys = gates + PairPanel::bytes;
  static constexpr int products = gates;
  static constexpr int scores = endKeys;
  static constexpr int subs = endKeys + PairPanel::bytes;
  static constexpr int lowest = subs + SubDecays::bytes;
  static constexpr int beta = lowest + 64 * 4;
  static constexpr int eraseKeys = (beta + 64 * 4 + 1023) / 1024 * 1024;
  static constexpr int bytes(int K) { return eraseKeys + (K + 63) / 64 * Tile<64>::bytes; }
  static_assert(FloatSquare::bytes <= PairPanel::bytes, "squares lie where panels were");
};

/// Scores of 16 rows with the columns up to theirs, by distance in sub-chunks: [distance][8 columns].
using RowScores = float[numSubs][2][4];

constexpr int scoresWritten = inverseBarrier + 1;

/// One block: a chunk of a head, piece by piece, its channels in panels of 64.
class DiagonalPrepare {
  using Layout = DiagonalPrepareLayout;

  const DeltaDiagonalPrepareCall& call;
  unsigned char* const shared;
  const DeltaLane at;
  const Tile<64> Q, K;
  const PairPanel c;        // sums of log2 decays in the sub-chunk
  const PairPanel endKeys;  // keys decayed to the end of their sub-chunk, tf32
  const SubDecays subs;
  float* const lowest;  // of a row's c in this panel
  float* const beta;
  const int chunk, bh, b, h, pitch;

 public:
  __device__ DiagonalPrepare(const DeltaDiagonalPrepareCall& call, unsigned char* shared)
      : call(call),
        shared(shared),
        Q{sharedAddress(shared + Layout::queries)},
        K{sharedAddress(shared + Layout::keys)},
        c{reinterpret_cast<float*>(shared + Layout::gates)},
        endKeys{reinterpret_cast<float*>(shared + Layout::endKeys)},
        subs{reinterpret_cast<float*>(shared + Layout::subs)},
        lowest(reinterpret_cast<float*>(shared + Layout::lowest)),
        beta(reinterpret_cast<float*>(shared + Layout::beta)),
        chunk(blockIdx.x),
        bh(blockIdx.y),
        b(bh / call.H),
        h(bh % call.H),
        pitch(call.H * call.K) {}

  __device__ void run() {
    for (int low = 0, closed = false; !closed;) {
      const Piece piece = pieceFrom(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, low);
      low = piece.high;
      closed = piece.closesChunk;
      const TileRows rows{static_cast<int64_t>(chunk) * tileTokens, piece.low, piece.high, false};
      loadBeta(rows);
      // The first warpgroup has the scores of queries, the second the products of keys, a warp of each those
      // of one sub-chunk's rows. The four warps that share a scheduler's place have as much to do as any
      // four.
      const bool ofQueries = at.warp < 4;
      const int sub = ofQueries ? at.warp : 7 - at.warp;
      RowScores scores = {};
      for (int channel = 0; channel < call.K; channel += 64) {
        fillTile<64, diagonalThreads>(Q, call.q + head(), pitch, channel, call.K, rows);
        fillTile<64, diagonalThreads>(K, call.k + head(), pitch, channel, call.K, rows);
        fillGates(c, call.g + head(), pitch, channel, call.K, rows);
        commitCopies();
        waitForCopies<0>();
        __syncthreads();
        sumSubGates(c, subs);
        __syncthreads();
        const float gamma = fillDecays(subs);
        if (piece.opensChunk && threadIdx.x < 64 && channel + threadIdx.x < call.K)
          call.to.gamma[index() * call.K + channel + threadIdx.x] = gamma;
        __syncthreads();
        decayTokens(rows, channel);
        __syncthreads();
        addScores(scores, ofQueries ? Q : K, sub);
        __syncthreads();
      }
      if (ofQueries) {
        storeScores(rows, scores, sub);
        fillValues(rows, 0);
      } else {
        storeInverse(rows, scores, sub);
      }
      commitCopies();
      publishToProducts();
      __syncthreads();
      if (ofQueries)
        multiplyValues(rows);
      else
        multiplyKeys(rows);
      __syncthreads();
    }
  }

 private:
  __device__ Tile<64> tile(int offset) const { return {sharedAddress(shared) + offset}; }
  __device__ Tile<64> eraseKeys(int panel) const { return tile(Layout::eraseKeys + panel * Tile<64>::bytes); }
  /// Of the head in [B, T, H, K].
  __device__ int64_t head() const { return b * call.T * pitch + h * call.K; }
  /// Of the chunk among all heads' chunks.
  __device__ int64_t index() const { return static_cast<int64_t>(bh) * gridDim.x + chunk; }

  __device__ void loadBeta(const TileRows& rows) const {
    if (threadIdx.x >= 64) return;
    const int row = threadIdx.x;
    const bool has = rows.has(row);
    beta[row] = !has        ? 0.0f
                : call.beta ? usableBeta(call.beta[(b * call.T + rows.first + row) * call.H + h])
                            : 1.0f;
    if (has) call.to.outOf[index() * tileTokens + row] = beta[row];
  }

  /// Queries and keys as the sweeps read them, and keys decayed to the end of their sub-chunk.
  __device__ void decayTokens(const TileRows& rows, int channel) const {
    const int own = threadIdx.x % 16 * 4;
#pragma unroll 1
    for (int sub = 0; sub < numSubs; sub++) {
      const int row = subTokens * sub + threadIdx.x / 16;
      float q[4], k[4], sum[4], total[4], before[4], after[4], end[4];
      loadFour(q, Q, row, own);
      loadFour(k, K, row, own);
      loadFour(sum, &c.at(row, own));
      loadFour(total, subs.totals(sub) + own);
      loadFour(before, subs.before(sub) + own);
      loadFour(after, subs.after(sub) + own);
      float least = 0.0f;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        least = fminf(least, sum[i]);
        const float into = before[i] * exp2Fast(sum[i]);
        end[i] = k[i] * exp2Fast(total[i] - sum[i]);
        after[i] *= end[i];
        q[i] *= call.scale * into;
        k[i] *= into;
      }
      storeFour(&endKeys.at(row, own), end);
      storeShared(eraseKeys(channel / 64), row, own, packFour(k));
#pragma unroll
      for (int distance = 1; distance < 16; distance *= 2)
        least = fminf(least, __shfl_xor_sync(~0u, least, distance));
      if (own == 0) lowest[row] = least;
      if (!rows.has(row) || channel + own >= call.K) continue;
      const int64_t place = head() + (rows.first + row) * pitch + channel + own;
      *reinterpret_cast<uint2*>(call.to.queries + place) = packFour(q);
      *reinterpret_cast<uint2*>(call.to.writeKeys + place) = packFour(after);
    }
  }

  /// Adds the products of the 16 rows of X in sub-chunk `sub` with the keys up to it, decayed from the key to
  /// the row. Of one row it takes gates up to that row only.
  __device__ void addScores(RowScores& scores, Tile<64> X, int sub) const {
    const int row0 = subTokens * sub;
    bool deep[2];
#pragma unroll
    for (int i = 0; i < 2; i++) deep[i] = lowest[row0 + at.group + 8 * i] < deepest;
#pragma unroll 2
    for (int unit = 0; unit < 8; unit++) {
      const int column = 8 * unit + at.pairOf;
      float a[4];
      uint32_t own[4];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int row = row0 + at.group + 8 * i;
        const uint32_t x = loadShared(X.address(row, unit) + 2 * at.pairOf);
        const float2 sum = c.pairAt(row, column);
        a[i] = lowHalf(x) * exp2Fast(sum.x);
        a[i + 2] = highHalf(x) * exp2Fast(sum.y);
        own[i] = deep[i] ? 0 : roundToTf32(a[i]);
        own[i + 2] = deep[i] ? 0 : roundToTf32(a[i + 2]);
      }
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const int row = row0 + 8 * n + at.group;
        const uint32_t key = loadShared(K.address(row, unit) + 2 * at.pairOf);
        const float2 sum = c.pairAt(row, column);
        mmaTf32(scores[0][n], own, roundToTf32(lowHalf(key) * exp2Fast(fminf(-sum.x, -deepest))),
                roundToTf32(highHalf(key) * exp2Fast(fminf(-sum.y, -deepest))));
      }
#pragma unroll
      for (int distance = 1; distance < numSubs; distance++) {
        const int other = sub - distance;
        if (other < 0) break;
        if (distance > 1) {
          const float2 decay = *reinterpret_cast<const float2*>(subs.decays(other + 1) + column);
          a[0] *= decay.x;
          a[1] *= decay.x;
          a[2] *= decay.y;
          a[3] *= decay.y;
        }
        const uint32_t rounded[4] = {roundToTf32(a[0]), roundToTf32(a[1]), roundToTf32(a[2]),
                                     roundToTf32(a[3])};
#pragma unroll
        for (int n = 0; n < 2; n++) {
          const uint2 key = endKeys.pairBitsAt(subTokens * other + 8 * n + at.group, column);
          mmaTf32(scores[distance][n], rounded, key.x, key.y);
        }
      }
    }
    if (__any_sync(~0u, deep[0] || deep[1])) addDeepRows(scores[0], X, row0, deep);
  }

  /// Rows that decay too far for two factors, in f32. What is above the diagonal is never used.
  __device__ void addDeepRows(float (&scores)[2][4], Tile<64> X, int row0, const bool (&deep)[2]) const {
#pragma unroll 1
    for (int column = 0; column < 64; column += 2) {
      const auto pairOf = [&](Tile<64> tile, int row) {
        return loadShared(tile.address(row, column / 8) + column % 8 * 2);
      };
#pragma unroll 1
      for (int j = 0; j < 4; j++) {
        const int row = row0 + 8 * (j / 2) + at.pairOf + j % 2;
        const uint32_t key = pairOf(K, row);
        const float2 start = c.pairAt(row, column);
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const uint32_t x = pairOf(X, row0 + at.group + 8 * i);
          const float2 sum = c.pairAt(row0 + at.group + 8 * i, column);
          const float near = lowHalf(x) * lowHalf(key) * exp2Fast(fminf(sum.x - start.x, 0.0f));
          const float far = highHalf(x) * highHalf(key) * exp2Fast(fminf(sum.y - start.y, 0.0f));
          if (!deep[i]) continue;
#pragma unroll
          for (int place = 0; place < 4; place++)
            if (place == j) scores[place / 2][2 * i + place % 2] += near + far;
        }
      }
    }
  }

  /// factor(row, column, sum) of what a warp has of a square.
  template <typename Factor>
  __device__ void toSquare(FloatSquare square, const RowScores& scores, int sub, Factor&& factor) const {
#pragma unroll
    for (int distance = 0; distance < numSubs; distance++) {
      if (distance > sub) break;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = subTokens * sub + at.group + 8 * (i & 1);
        const int column = subTokens * (sub - distance) + 8 * (i >> 1) + at.pairOf;
        const float* const both = &scores[distance][i >> 1][2 * (i & 1)];
        square.pairAt(row, column) = make_float2(factor(row, column, both[0] * beta[column]),
                                                 factor(row, column + 1, both[1] * beta[column + 1]));
      }
    }
  }

  __device__ void storeScores(const TileRows& rows, const RowScores& scores, int sub) const {
    const FloatSquare square{reinterpret_cast<float*>(shared + Layout::scores)};
    toSquare(square, scores, sub, [&](int, int, float sum) { return call.scale * sum; });
    joinBarrier(scoresWritten, 128);
    eachLower(square, [&](int row, int column, uint2 four) {
      if (rows.has(row))
        *reinterpret_cast<uint2*>(call.to.scores + (index() * tileTokens + row) * 64 + column) = four;
    });
  }

  __device__ void storeInverse(const TileRows& rows, const RowScores& products, int sub) const {
    const FloatSquare square{reinterpret_cast<float*>(shared + Layout::products)};
    toSquare(square, products, sub,
             [&](int row, int column, float sum) { return column < row ? sum : 0.0f; });
    joinBarrier(inverseBarrier, 128);
    invertUnitLower(square, at.warp - 4, at.lane);
    eachLower(square, [&](int row, int column, uint2 four) {
      storeShared(tile(Layout::inverse), row, column, four);
      if (rows.has(row))
        *reinterpret_cast<uint2*>(call.to.inverse + (index() * tileTokens + row) * 64 + column) = four;
    });
  }

  /// visit(row, column, four) for the square's lower triangle, and zeros above it; one warpgroup.
  template <typename Visit>
  __device__ static void eachLower(FloatSquare square, Visit&& visit) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int row = 8 * i + threadIdx.x % 128 / 16, column = threadIdx.x % 16 * 4;
      float lower[4];
      loadFour(lower, &square.at(row, column));
#pragma unroll
      for (int j = 0; j < 4; j++) lower[j] = column + j <= row ? lower[j] : 0.0f;
      visit(row, column, packFour(lower));
    }
  }

  __device__ void fillValues(const TileRows& rows, int column) const {
    fillTile<64, 128>(tile(Layout::values), call.v + (b * call.T * call.H + h) * call.V, call.H * call.V,
                      column, call.V, rows);
  }

  /// W = Y (e^c K), the second warpgroup.
  __device__ void multiplyKeys(const TileRows& rows) const {
    for (int panel = 0; 64 * panel < call.K; panel++)
      multiplyPanel(eraseKeys(panel), rows, call.to.w, 64 * panel, call.K);
  }

  /// U = Y V, the first warpgroup.
  __device__ void multiplyValues(const TileRows& rows) const {
    for (int column = 0; column < call.V; column += 64) {
      if (column > 0) {
        joinBarrier(scoresWritten, 128);
        fillValues(rows, column);
        commitCopies();
      }
      waitForCopies<0>();
      publishToProducts();
      joinBarrier(scoresWritten, 128);
      multiplyPanel(tile(Layout::values), rows, call.to.u, column, call.V);
    }
  }

  /// 64 columns of the product to [rows, width].
  __device__ void multiplyPanel(Tile<64> panel, const TileRows& rows, __nv_bfloat16* to, int column0,
                                int width) const {
    Sums sum;
    clear(sum);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<StoredB::columns>(sum, tile(Layout::inverse), k, panel, k);
    commitProducts();
    waitForProducts<0>();
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = 16 * (at.warp % 4) + at.group + 8 * i;
#pragma unroll
      for (int n = 0; n < 8; n += 4) {
        uint32_t packed[4];
#pragma unroll
        for (int j = 0; j < 4; j++) packed[j] = pack(sum[n + j][2 * i], sum[n + j][2 * i + 1]);
        transposeQuad(packed, at.lane);
        const int column = column0 + 8 * (n + (at.lane & 3));
        if (rows.has(row) && column < width)
          *reinterpret_cast<uint4*>(to + (index() * tileTokens + row) * width + column) =
              make_uint4(packed[0], packed[1], packed[2], packed[3]);
      }
    }
  }
};

__global__ void __launch_bounds__(diagonalThreads, LONGSCAN_WGMMA ? 3 : 2)
    diagonalPrepareKernel(const __grid_constant__ DeltaDiagonalPrepareCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  DiagonalPrepare(call, shared).run();
}

}  // namespace

cudaError_t launchDeltaDiagonalPrepare(const DeltaDiagonalPrepareCall& call, cudaStream_t stream) {
  const int bytes = DiagonalPrepareLayout::bytes(call.K);
  const cudaError_t error =
      cudaFuncSetAttribute(diagonalPrepareKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const auto chunks = static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens);
  diagonalPrepareKernel<<<dim3(chunks, static_cast<unsigned>(call.B * call.H)), diagonalThreads, bytes,
                          stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
