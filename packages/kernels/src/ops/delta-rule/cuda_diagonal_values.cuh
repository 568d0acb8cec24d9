#pragma once

#include "cuda_diagonal_block.cuh"
#include "cuda_prepare.h"
#include "cuda_sweep_parts.cuh"

namespace longscan {

namespace {

/// As `clear`, at this place: earlier, the zeros would take registers that other sums need.
__device__ inline void clearHere(Sums& sum) {
#pragma unroll
  for (int n = 0; n < 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) asm volatile("mov.f32 %0, 0f00000000;" : "=f"(sum[n][i]));
}

/// A warpgroup's products over V: those with the state, or its adjoint, and the gradients of scores (of queries)
/// or of products of keys (of erase keys).
template <DiagonalRole role>
class DiagonalValues : protected DiagonalGradientBlock {
 protected:
  static constexpr bool ofQueries = role == DiagonalRole::queries, reads = role != DiagonalRole::writeKeys;
  Sums found;

  using DiagonalGradientBlock::DiagonalGradientBlock;

  /// All products that run over V, behind the sums of gates; whether the chunk is mild. Those with the state
  /// come last, so that no warpgroup has sums of two products at once.
  __device__ bool multiplyValues(const Piece& piece) {
    const bool state = meetsState(piece), adjoint = meetsAdjoint(piece);
    const bool mild = beginLoads(piece);
    MmaA weight[4];
    multiplyTokens(piece, weight);
    clearHere(found);
    float product[8] = {};
    for (int value = 0; value < call.V; value += 64) {
      if (value > 0) {
        // What was multiplied last is not needed any more.
        __syncthreads();
        if (!reads) fillStates(piece, value);
        if (call.V > valuesThere) fillTokensAgain(piece, value);
        arrive();
      } else if (call.V > valuesThere) {
        __syncthreads();
        fillTokensAgain(piece, 0);
        arrive();
      }
      const Tile<64> S = tile(Layout::states), D = tile(Layout::states + Layout::panel);
      beginProducts();
      if (reads ? state : adjoint) multiplyTiles<StoredB::columns>(found, tokensTile(value), reads ? S : D);
      commitProducts();
      if (!reads && state && adjoint) addStateProducts(product, S, D);
      waitForProducts<0>();
    }
    __syncthreads();
    if (!reads)
      storeStateProducts(product);
    else if (mild)
      storeWeights(weight);
    else
      storeWeightsOfSubs(weight);
    return mild;
  }

 private:
  /// So many channels of V are there at once.
  static constexpr int valuesThere = 128;

  /// All copies have arrived, also for products.
  __device__ static void arrive() {
    waitForCopies<0>();
    publishToProducts();
    __syncthreads();
  }

  /// Starts to load a piece and 128 channels of its values, each warpgroup its part, and adds up the gates under
  /// that.
  __device__ bool beginLoads(const Piece& piece) const {
    if (reads) fillPieceGates(piece);
    commitCopies();
    fillTokens(piece, 0);
    if (64 < call.V) fillTokens(piece, 64);
    if (!reads) fillStates(piece, 0);
    const int64_t head = b * call.T * call.H * call.K + h * call.K;
    if (reads)
      fillTile<64, 128>(ofQueries ? Q : K, (ofQueries ? call.q : call.k) + head, call.H * call.K, channel,
                        call.K, rowsOf(piece));
    commitCopies();
    bool mild = true;
    if (reads) {
      waitForCopies<1>();
      const auto meet = [] { joinBarrier(gateBarrier, diagonalThreads); };
      meet();
      sumGates(c(), subs(), threadIdx.x, meet, [&](bool x) { mild = x; return x; });
    } else {
      prefetchStates(piece, 64);
    }
    waitForCopies<0>();
    publishToProducts();
    mild = joinBarrierIfAll(exchangeBarrier, gradientThreads, mild);
    // Read after the next barrier.
    if (threadIdx.x < 64) floats(Layout::gamma)[threadIdx.x] = exp2Fast(subs().starts(numSubs)[threadIdx.x]);
    return mild;
  }

  /// The gradients of scores, or of products of keys, rounded to bf16: the same number for a query or an erase
  /// key as for the written key that it meets, so that dg, their difference, is not rounded by it.
  __device__ void multiplyTokens(const Piece& piece, MmaA (&weight)[4]) const {
    Sums sum;
    clearHere(sum);
    for (int value = 0; value < call.V; value += 64) {
      if (value >= valuesThere) {
        __syncthreads();
        fillTokensAgain(piece, value);
        arrive();
      }
      if (!reads) continue;
      beginProducts();
      multiplyTiles<StoredB::rows>(sum, tokensTile(value), tile(Layout::tokensOf(value) + 2 * Layout::panel));
      commitProducts();
      waitForProducts<0>();
    }
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int row = row0 + at.group + 8 * (j / 2), column = 8 * n + at.pairOf + j % 2;
        if (ofQueries ? column > row : column >= row) sum[n][j] = 0.0f;
      }
#pragma unroll
    for (int k = 0; k < 4; k++) weight[k] = operandA(sum, k);
  }

  /// The warpgroup's part of dO, dv and N: where it is, the distance between tokens, and its tile.
  __device__ const __nv_bfloat16* tokens() const {
    if (!reads) return call.corrections + (index() - chunk) * tileTokens * call.V;
    return (ofQueries ? call.dO : call.dv) + b * call.T * call.H * call.V + h * call.V;
  }
  __device__ int pitchOfTokens() const { return reads ? call.H * call.V : call.V; }
  __device__ Tile<64> tokensTile(int value) const {
    return tile(Layout::tokensOf(value) + (ofQueries ? 0 : reads ? 1 : 2) * Layout::panel);
  }

  __device__ void fillTokens(const Piece& piece, int value) const {
    fillTile<64, 128>(tokensTile(value), tokens(), pitchOfTokens(), value, call.V, rowsOf(piece));
  }

  /// The same in few registers, for more values than there is room for.
  __device__ void fillTokensAgain(const Piece& piece, int value) const {
    const TileRows rows = rowsOf(piece);
    const Tile<64> to = tokensTile(value);
#pragma unroll 1
    for (int i = threadAnew() % 128; i < tileTokens * 8; i += 128) {
      const int row = i / 8, column = value + i % 8 * 8;
      copyAsync16(to.address(row, i % 8), tokens() + (rows.first + row) * pitchOfTokens() + column,
                  rows.has(row) && column < call.V);
    }
  }

  __device__ void fillStates(const Piece& piece, int value) const {
    const TileRows values{value, 0, min(64, call.V - value), false};
    const int64_t place = index() * call.V * call.K;
    if (meetsState(piece))
      fillTile<64, 128>(tile(Layout::states), call.states + place, call.K, channel, call.K,
                                    values);
    if (meetsAdjoint(piece))
      fillTile<64, 128>(tile(Layout::states + Layout::panel), call.adjoints + place, call.K,
                                    channel, call.K, values);
  }

  /// Asks for the states' rows from `value` on, which are loaded when those before are used up.
  __device__ void prefetchStates(const Piece& piece, int value) const {
    const int thread = threadIdx.x % 128, row = thread % 64 + value;
    const __nv_bfloat16* const states = thread < 64 ? call.states : call.adjoints;
    const bool met = thread < 64 ? meetsState(piece) : meetsAdjoint(piece);
    if (met && row < call.V)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(states + (index() * call.V + row) * call.K + channel));
  }

  __device__ void fillPieceGates(const Piece& piece) const {
    const TileRows rows = rowsOf(piece);
    const int64_t head = b * call.T * call.H * call.K + h * call.K;
    fillGates(c(), call.g + head, call.H * call.K, channel, call.K, rows);
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

  /// Shares of rowsum_V(S o D) for eight channels.
  __device__ static void addStateProducts(float (&product)[8], Tile<64> S, Tile<64> D) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = threadIdx.x % 128 / 8 + 16 * i, unit = threadIdx.x % 8;
      const uint4 s = loadShared16(S.address(row, unit)), d = loadShared16(D.address(row, unit));
      const uint32_t left[4] = {s.x, s.y, s.z, s.w}, right[4] = {d.x, d.y, d.z, d.w};
#pragma unroll
      for (int j = 0; j < 4; j++) {
        product[2 * j] += lowHalf(left[j]) * lowHalf(right[j]);
        product[2 * j + 1] += highHalf(left[j]) * highHalf(right[j]);
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

  __device__ void storeWeights(const MmaA (&weight)[4]) const {
#pragma unroll
    for (int k = 0; k < 4; k++)
      storeOperandA(tile(ofQueries ? Layout::scoreWeights : Layout::productWeights), row0, k, weight[k], at.lane);
  }

  /// In f32, those of scores on and below the diagonal, those of products of keys, transposed, above it.
  __device__ void storeWeightsOfSubs(const MmaA (&weight)[4]) const {
    const KeyPanel to{floats(Layout::weights)};
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int row = row0 + at.group + 8 * (i & 1), column = 16 * k + 8 * (i >> 1) + at.pairOf + half;
          const float x = half ? highHalf(weight[k].x[i]) : lowHalf(weight[k].x[i]);
          if (ofQueries && column <= row) to.at(row, column) = x;
          if (!ofQueries && column < row) to.at(column, row) = x;
        }
  }
};

}  // namespace

}  // namespace longscan
