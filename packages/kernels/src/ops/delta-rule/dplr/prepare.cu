#include "scores.cuh"

namespace longscan {

namespace {

/// Squares by four warps, then what they multiply: the first four have Y, W and U, the others what needs no
/// inverse.
template <int K>
class DplrPrepare : DplrPrepareBlock<K> {
  using Block = DplrPrepareBlock<K>;
  using Block::call, Block::place, Block::base, Block::warp, Block::lane, Block::piece;
  using typename Block::Half;
  using typename Block::Shared;

 public:
  using Block::Block;

  __device__ void run() {
    const LongscanDplr& slice = call.slice;
    PieceWalk walk(slice.resets ? slice.resets + place.batch * slice.T : nullptr, slice.T, place.chunk,
                   place.chunk + 1, false);
    for (; !walk.done(); walk.advance()) {
      piece = walk.piece();
      clearSquares();
      this->fill();
      commitCopies();
      this->sumGates();
      DplrScores<K>(*this).run();
      __syncthreads();
      if (warp < 4)
        invert();
      else
        decay();
#pragma unroll 1
      for (int tile = 0; tile < call.valueTiles; tile++) {
        if (tile > 0) {
          this->fillValues(tile);
          commitCopies();
          waitForCopies<0>();
          __syncthreads();
        }
        if (warp >= 4) multiplyValues();
        __syncthreads();
        if (warp < 4)
          multiplyInverse(tile);
        else
          makeUpdate(tile);
        __syncthreads();
      }
    }
  }

 private:
  /// What is above the diagonals, nobody writes but with A_k V.
  __device__ void clearSquares() const {
    for (int at = Shared::inverse + 16 * this->thread; at < Shared::diagonal; at += 16 * dplrPrepareThreads)
      storeShared16(base + at, {});
  }

  /// Y of the piece's tokens.
  __device__ void invert() const {
    const Tile<64> inverse = this->narrow(Shared::inverse);
    const UnitLower lower{SplitSquare(base + Shared::square),
                          DiagonalBlock{this->floats(Shared::diagonal) + warp * (DiagonalBlock::bytes / 4)},
                          warp, lane};
    lower.invert(1, [&](int i, const SplitA& x) {
      MmaA rows = x.high;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int token = 16 * (warp + i) + 8 * (j >> 1) + 2 * (lane & 3);
        const auto has = [&](int row) { return row >= piece.low && row < piece.high; };
        rows.x[j] &= (has(token) ? 0xffffu : 0) | (has(token + 1) ? 0xffff0000u : 0);
        // Nor of another document's, whose numbers may be none.
        if (16 * warp + lane / 4 + 8 * (j & 1) < piece.low) rows.x[j] = 0;
      }
      storeATransposed(inverse, 16 * (warp + i), 16 * warp, rows, lane);
    });
  }

  /// Qe, Kd and Ed to memory, and what the products want of them, in the places of q, k and b: nothing, Kd
  /// and b as it meets the state. And the squares.
  __device__ void decay() const {
    const LongscanDplr& slice = call.slice;
    const Tile<K> queries = this->wide(Shared::queries), keys = this->wide(Shared::keys),
                  eraseKeys = this->wide(Shared::eraseKeys), extraKeys = this->wide(Shared::extraKeys);
    const int64_t first = place.number * tileTokens * K;
#pragma unroll 1
    for (int at = this->thread - 128; at < tileTokens * K / 8; at += 128) {
      const int row = at / (K / 8), unit = at % (K / 8);
      float after[8], since[8], before[8];
      takeSums(after, row, unit);
      takeSums(since, tileTokens - 1, unit);
      takeSums(before, row - 1, unit);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        since[i] = exp2Of(since[i] - after[i]);
        after[i] = exp2Of(after[i]);
        before[i] = exp2Of(before[i]);
      }
      const float beta = this->floats(Shared::beta)[row];
      const uint4 decayedKeys = scaled(loadShared16(keys.address(row, unit)), since, beta);
      const uint4 decayedExtra = slice.e != nullptr
                                     ? scaled(loadShared16(extraKeys.address(row, unit)), since, 1.0f)
                                     : scaled(loadShared16(keys.address(row, unit)), since, -beta);
      const uint4 decayedQueries = scaled(loadShared16(queries.address(row, unit)), after, slice.scale);
      storeShared16(eraseKeys.address(row, unit),
                    scaled(loadShared16(eraseKeys.address(row, unit)), before, 1.0f));
      storeShared16(keys.address(row, unit), decayedKeys);
      if (row < piece.low || row >= this->high()) continue;
      const int64_t to = first + (keys.address(row, unit) - keys.base) / 2;
      store(call.to.queries + to, this->isReached(), decayedQueries);
      store(call.to.writeKeys + to, this->reaches(), decayedKeys);
      store(call.to.extraKeys + to, this->reaches(), decayedExtra);
    }
    const int row0 = 16 * (warp - 4);
    this->storeSquare(call.to.keyScores, Shared::keyScores, row0);
    this->storeSquare(call.to.extraScores, Shared::extraScores, row0);
    this->storeSquare(call.to.keyMeets, Shared::keyMeets, row0);
    if (!this->reaches()) return;
    const bool forgets = !piece.opensChunk || piece.fresh;
    for (int channel = this->thread - 128; channel < K; channel += 128)
      call.to.gamma[place.number * K + channel] =
          forgets ? 0.0f : exp2Of(this->sumsOf(tileTokens - 1)[channel]);
  }

  /// Of eight channels, up to and with a row; before the first one nothing.
  __device__ void takeSums(float (&to)[8], int row, int unit) const {
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
      const float4 sums = row < 0 ? make_float4(0.0f, 0.0f, 0.0f, 0.0f)
                                  : *reinterpret_cast<const float4*>(this->sumsOf(row) + 8 * unit + i);
      to[i] = sums.x, to[i + 1] = sums.y, to[i + 2] = sums.z, to[i + 3] = sums.w;
    }
  }

  __device__ static uint4 scaled(uint4 x, const float (&by)[8], float factor) {
    const auto both = [&](uint32_t pair, int i) {
      return pack(factor * by[i] * lowHalf(pair), factor * by[i + 1] * highHalf(pair));
    };
    return {both(x.x, 0), both(x.y, 2), both(x.z, 4), both(x.w, 6)};
  }

  __device__ static void store(Half* to, bool isThere, uint4 x) {
    if (!isThere) x = {};
    storeGlobal(to, x.x, x.y, x.z, x.w);
  }

  /// Ak V, in the place of Pe: 16 rows a warp.
  __device__ void multiplyValues() const {
    const int row0 = 16 * (warp - 4);
    const Tile<64> values = this->narrow(Shared::values), meets = this->narrow(Shared::keyMeets);
    float sum[8][4] = {};
#pragma unroll
    for (int k = 0; k < 4; k++) {
      if (16 * k > row0) break;
      const MmaA rows = loadA(meets, row0, 16 * k, lane);
#pragma unroll
      for (int n = 0; n < 4; n++) mma(sum[2 * n], sum[2 * n + 1], rows, loadB(values, 16 * k, 16 * n, lane));
    }
    __syncwarp();
#pragma unroll
    for (int k = 0; k < 4; k++) storeA(this->narrow(Shared::extraScores), row0, k, operandOf(sum, k), lane);
  }

  /// U, and once W and Y.
  __device__ void multiplyInverse(int tile) const {
    const int row0 = 16 * warp;
    if (tile == 0) {
      this->storeSquare(call.to.inverse, Shared::inverse, row0);
      multiplyRows<K>(Shared::eraseKeys, Shared::queries, call.to.w + place.number * tileTokens * K,
                      this->isReached());
    }
    multiplyRows<64>(Shared::extraScores, Shared::extraKeys,
                     call.to.x + (place.number * call.valueTiles + tile) * tileTokens * dplrValues, true);
  }

  /// A warp's rows of Y times a tile to memory, by a place in shared memory; or zeros.
  template <int D>
  __device__ void multiplyRows(int from, int by, Half* to, bool isThere) const {
    const int row0 = 16 * warp;
    const Tile<D> right{base + from}, result{base + by};
    float sum[D / 8][4] = {};
    if (isThere) {
#pragma unroll
      for (int k = 0; k < 4; k++) {
        if (16 * k > row0) break;
        const MmaA rows = loadA(this->narrow(Shared::inverse), row0, 16 * k, lane);
#pragma unroll
        for (int n = 0; n < D / 16; n++)
          mma(sum[2 * n], sum[2 * n + 1], rows, loadB(right, 16 * k, 16 * n, lane));
      }
    }
#pragma unroll
    for (int k = 0; k < D / 16; k++) storeA(result, row0, k, operandOf(sum, k), lane);
    __syncwarp();
    storeRowsOfWarp(to, result, row0, lane, piece.low, this->high());
  }

  /// (Kd^T V)^T, by the place of what was inverted: 16 columns of V a warp.
  __device__ void makeUpdate(int tile) const {
    if (!this->reaches()) return;
    const int row0 = 16 * (warp - 4);
    const Tile<K> keys = this->wide(Shared::keys), result = this->wide(Shared::square);
    float sum[K / 8][4] = {};
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const MmaA rows = loadATransposed(this->narrow(Shared::values), 16 * k, row0, lane);
#pragma unroll
      for (int n = 0; n < K / 16; n++)
        mma(sum[2 * n], sum[2 * n + 1], rows, loadB(keys, 16 * k, 16 * n, lane));
    }
#pragma unroll
    for (int k = 0; k < K / 16; k++) storeA(result, row0, k, operandOf(sum, k), lane);
    __syncwarp();
    storeRowsOfWarp(call.to.states + (place.number * call.valueTiles + tile) * dplrValues * K, result, row0,
                    lane);
  }
};

template <int K>
__global__ void __launch_bounds__(dplrPrepareThreads, K == 64 ? 2 : 1)
    dplrPrepareKernel(const DplrPrepareCall call) {
  extern __shared__ uint8_t memory[];
  DplrPrepare<K>(call, memory + (128 - sharedAddress(memory) % 128) % 128).run();
}

template <int K>
cudaError_t launch(const DplrPrepareCall& call, int64_t count, cudaStream_t stream) {
  constexpr int bytes = DplrPrepareShared<K>::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(dplrPrepareKernel<K>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  dplrPrepareKernel<K><<<static_cast<unsigned>(count), dplrPrepareThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchDplrPrepare(const LongscanDplr& call, void* kept, cudaStream_t stream) {
  const DplrSizes sizes(call);
  const DplrPrepareCall prepare{call, DplrKept<__nv_bfloat16>(call, kept), sizes.numChunks, sizes.valueTiles};
  return sizes.keys == 64 ? launch<64>(prepare, sizes.count, stream)
                          : launch<128>(prepare, sizes.count, stream);
}

size_t dplrPrepareSharedBytes(int keys) {
  return keys == 64 ? DplrPrepareShared<64>::bytes : DplrPrepareShared<128>::bytes;
}

}  // namespace longscan
