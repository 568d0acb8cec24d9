#include "cuda_diagonal.cuh"
#include "cuda_diagonal_prepare.h"
#include "cuda_inverse.cuh"
#include "cuda_prepare.h"

namespace longscan {

namespace {

/// A panel of 64 channels; the square takes the place of gates once all panels are through.
struct DiagonalPrepareLayout {
  static constexpr int queries = 0;
  static constexpr int keys = queries + Tile<64>::bytes;
  static constexpr int gates = keys + Tile<64>::bytes;
  static constexpr int square = gates;
  static constexpr int endKeys = gates + GatePanel::bytes;
  static constexpr int subs = endKeys + GatePanel::bytes;
  static constexpr int lowest = subs + SubDecays::bytes;
  static constexpr int beta = lowest + 64 * 4;
  static constexpr int bytes = beta + 64 * 4;
  static_assert(FloatSquare::bytes <= GatePanel::bytes, "the square lies where gates were");
};

/// Scores of 16 rows with the columns up to theirs, by distance in sub-chunks: [distance][8 columns].
using RowScores = float[numSubs][2][4];

/// One block: a chunk of a head, piece by piece, its channels in panels of 64.
class DiagonalPrepare {
  using Layout = DiagonalPrepareLayout;

  const DeltaDiagonalPrepareCall& call;
  unsigned char* const shared;
  const DeltaLane at;
  const Tile<64> Q, K;
  const GatePanel c;        // sums of log2 decays in the sub-chunk
  const GatePanel endKeys;  // keys decayed to the end of their sub-chunk, tf32
  const SubDecays subs;
  float* const lowest;  // of a row's c in this panel
  float* const beta;
  const FloatSquare square;
  const int chunk;
  const int64_t bh, b, h, pitch, head, firstRow;

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
        square{reinterpret_cast<float*>(shared + Layout::square)},
        chunk(blockIdx.x),
        bh(blockIdx.y),
        b(bh / call.H),
        h(bh % call.H),
        pitch(static_cast<int64_t>(call.H) * call.K),
        head(b * call.T * pitch + h * call.K),
        firstRow((bh * gridDim.x + chunk) * tileTokens) {}

  __device__ void run() {
    PieceWalk walk(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, chunk + 1, false);
    for (; !walk.done(); walk.advance()) {
      const TileRows rows{static_cast<int64_t>(chunk) * tileTokens, walk.piece().low, walk.piece().high,
                          false};
      loadBeta(rows);
      // A warp has the queries of one sub-chunk and the keys of another, five blocks of 16 x 16 in all.
      const int ofQueries = at.warp, ofKeys = numSubs - 1 - at.warp;
      RowScores scores = {}, products = {};
      for (int channel = 0; channel < call.K; channel += 64) {
        fillTile<64, diagonalThreads>(Q, call.q + head, pitch, channel, call.K, rows);
        fillTile<64, diagonalThreads>(K, call.k + head, pitch, channel, call.K, rows);
        fillGates(c, call.g + head, pitch, channel, call.K, rows);
        commitCopies();
        waitForCopies<0>();
        __syncthreads();
        sumSubGates(c, subs);
        __syncthreads();
        const float gamma = fillDecays(subs);
        if (walk.piece().opensChunk && threadIdx.x < 64 && channel + threadIdx.x < call.K)
          call.to.gamma[(bh * gridDim.x + chunk) * call.K + channel + threadIdx.x] = gamma;
        __syncthreads();
        decayTokens(rows, channel);
        __syncthreads();
        addScores(scores, Q, ofQueries);
        addScores(products, K, ofKeys);
        __syncthreads();
      }
      store(rows, scores, products, ofQueries, ofKeys);
      __syncthreads();
    }
  }

 private:
  __device__ void loadBeta(const TileRows& rows) const {
    if (threadIdx.x >= 64) return;
    const int row = threadIdx.x;
    const bool has = rows.has(row);
    beta[row] = !has        ? 0.0f
                : call.beta ? usableBeta(call.beta[(b * call.T + rows.first + row) * call.H + h])
                            : 1.0f;
    if (has) call.to.outOf[firstRow + row] = beta[row];
  }

  /// Queries and keys as the sweeps read them, and keys decayed to the end of their sub-chunk.
  __device__ void decayTokens(const TileRows& rows, int channel) const {
    const int unit = threadIdx.x % 8, own = 8 * unit;
#pragma unroll
    for (int sub = 0; sub < numSubs; sub++) {
      const int row = subTokens * sub + threadIdx.x / 8;
      float q[8], k[8], sum[8], total[8], before[8], after[8], write[8];
      loadEight(q, loadUnit(Q, row, unit));
      loadEight(k, loadUnit(K, row, unit));
      loadEight(sum, &c.at(row, own));
      loadEight(total, subs.totals(sub) + own);
      loadEight(before, subs.before(sub) + own);
      loadEight(after, subs.after(sub) + own);
      float least = 0.0f;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        least = fminf(least, sum[i]);
        const float into = before[i] * exp2Fast(sum[i]), end = k[i] * exp2Fast(total[i] - sum[i]);
        q[i] *= call.scale * into;
        write[i] = end * after[i];
        total[i] = end;
        k[i] *= into;
      }
      storeEight(&endKeys.at(row, own), total);
#pragma unroll
      for (int distance = 1; distance < 8; distance *= 2)
        least = fminf(least, __shfl_xor_sync(~0u, least, distance));
      if (unit == 0) lowest[row] = least;
      if (!rows.has(row) || channel + own >= call.K) continue;
      const int64_t place = head + (rows.first + row) * pitch + channel + own;
      *reinterpret_cast<uint4*>(call.to.queries + place) = packEight(q);
      *reinterpret_cast<uint4*>(call.to.eraseKeys + place) = packEight(k);
      *reinterpret_cast<uint4*>(call.to.writeKeys + place) = packEight(write);
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
      uint32_t x[2], key[4];
      float2 sumX[2], sumKey[4];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        x[i] = pairOf(X, row0 + at.group + 8 * i);
        sumX[i] = c.pairAt(row0 + at.group + 8 * i, column);
      }
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int row = row0 + 8 * (j / 2) + at.pairOf + j % 2;
        key[j] = pairOf(K, row);
        sumKey[j] = c.pairAt(row, column);
      }
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const float near = lowHalf(x[i]) * lowHalf(key[j]) * exp2Fast(fminf(sumX[i].x - sumKey[j].x, 0.0f));
          const float far =
              highHalf(x[i]) * highHalf(key[j]) * exp2Fast(fminf(sumX[i].y - sumKey[j].y, 0.0f));
          if (deep[i]) scores[j / 2][2 * i + j % 2] += near + far;
        }
    }
  }

  /// visit(row, column) is what is left of a sum and its neighbour to the right.
  template <typename Visit>
  __device__ void toSquare(const RowScores& scores, int sub, Visit&& visit) const {
#pragma unroll
    for (int distance = 0; distance < numSubs; distance++) {
      if (distance > sub) break;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = subTokens * sub + at.group + 8 * (i & 1);
        const int column = subTokens * (sub - distance) + 8 * (i >> 1) + at.pairOf;
        const float* const both = &scores[distance][i >> 1][2 * (i & 1)];
        square.pairAt(row, column) = make_float2(visit(row, column, both[0] * beta[column]),
                                                 visit(row, column + 1, both[1] * beta[column + 1]));
      }
    }
  }

  __device__ void store(const TileRows& rows, const RowScores& scores, const RowScores& products,
                        int ofQueries, int ofKeys) const {
    toSquare(scores, ofQueries, [&](int, int, float sum) { return call.scale * sum; });
    __syncthreads();
    storeLower(call.to.scores + firstRow * 64, rows);
    __syncthreads();
    toSquare(products, ofKeys, [&](int row, int column, float sum) { return column < row ? sum : 0.0f; });
    __syncthreads();
    invertUnitLower(square, at.warp, at.lane);
    storeLower(call.to.inverse + firstRow * 64, rows);
  }

  /// The square's lower triangle, and zeros above it, as rows of 64 in bf16.
  __device__ void storeLower(__nv_bfloat16* to, const TileRows& rows) const {
#pragma unroll
    for (int sub = 0; sub < numSubs; sub++) {
      const int row = subTokens * sub + threadIdx.x / 8, column = threadIdx.x % 8 * 8;
      float lower[8];
      loadEight(lower, &square.at(row, column));
#pragma unroll
      for (int i = 0; i < 8; i++) lower[i] = column + i <= row ? lower[i] : 0.0f;
      if (rows.has(row)) *reinterpret_cast<uint4*>(to + row * 64 + column) = packEight(lower);
    }
  }
};

__global__ void __launch_bounds__(diagonalThreads, 3)
    diagonalPrepareKernel(const __grid_constant__ DeltaDiagonalPrepareCall call) {
  extern __shared__ __align__(128) unsigned char shared[];
  DiagonalPrepare(call, shared).run();
}

}  // namespace

cudaError_t launchDeltaDiagonalPrepare(const DeltaDiagonalPrepareCall& call, cudaStream_t stream) {
  constexpr int bytes = DiagonalPrepareLayout::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(diagonalPrepareKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const auto chunks = static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens);
  diagonalPrepareKernel<<<dim3(chunks, static_cast<unsigned>(call.B * call.H)), diagonalThreads, bytes,
                          stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
