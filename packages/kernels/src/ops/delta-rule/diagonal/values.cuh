#pragma once

#include "../chunkwise/prepare.h"
#include "../sweep/parts.cuh"
#include "block.cuh"

namespace longscan {

namespace {

/// A warpgroup's products over V. The first one `reads`: it has the gradients of queries and erase keys; the
/// second has those of written keys.
template <bool reads>
class DiagonalValues : protected DiagonalGradientBlock {
 protected:
  Sums query, erase, write;  // the first two, or the third

  using DiagonalGradientBlock::DiagonalGradientBlock;

  /// All products that run over V, behind the sums of gates; whether the chunk is mild. waitForAdjoint():
  /// until the sweep beside has left dv and D of the chunk.
  template <typename Wait>
  __device__ bool multiplyValues(const Piece& piece, Wait&& waitForAdjoint) {
    const bool state = meetsState(piece), adjoint = meetsAdjoint(piece);
    fillPieceGates(piece);
    commitCopies();
    fillOutputTokens(piece, 0, 0);
    if (state) fillState(Layout::states, call.states, 0);
    waitForAdjoint();
    fillGradients(piece, 0, 0);
    if (adjoint) fillState(Layout::states + Layout::panel, call.adjoints, 0);
    commitCopies();
    fillPieceTokens(piece);
    if (64 < call.V) fillTokens(piece, 1, 64);
    commitCopies();
    prefetchStates(piece, 64);
    waitForCopies<2>();
    __syncthreads();
    sumGates(c(), subs(), threadAnew());
    if (const int thread = threadAnew(); thread < 64)
      floats(Layout::gamma)[thread] = exp2Fast(subs().starts(numSubs)[thread]);
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
      if (value > 0) {
        fillStates(piece, value);
        commitCopies();
        if (value + 64 < call.V) fillTokens(piece, stage ^ 1, value + 64);
        commitCopies();
      }
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
      waitForProducts<0>();
      if (value + 64 >= call.V) waitForCopies<0>();  // queries and keys
      __syncthreads();
    }
    if (!reads) storeStateProducts(product);
    const bool mild = areMild(subs(), threadAnew() % 32);
    if (mild)
      storeWeights(weight);
    else
      storeWeightsOfSubs(weight);
    return mild;
  }

 private:
  __device__ void fillTokens(const Piece& piece, int stage, int value) const {
    fillOutputTokens(piece, stage, value);
    fillGradients(piece, stage, value);
  }

  /// dO and N, which are there from the start.
  __device__ void fillOutputTokens(const Piece& piece, int stage, int value) const {
    const int offset = Layout::tokens + stage * Layout::tokensBytes, pitch = call.H * call.V;
    const TileRows rows = rowsOf(piece);
    fillTile<64, diagonalThreads>(tile(offset), call.dO + b * call.T * pitch + h * call.V, pitch, value,
                                  call.V, rows);
    fillTile<64, diagonalThreads>(tile(offset + 2 * Layout::panel),
                                  call.corrections + (index() - chunk) * tileTokens * call.V, call.V, value,
                                  call.V, rows);
  }

  __device__ void fillGradients(const Piece& piece, int stage, int value) const {
    const int pitch = call.H * call.V;
    fillTile<64, diagonalThreads>(tile(Layout::tokens + stage * Layout::tokensBytes + Layout::panel),
                                  call.dv + b * call.T * pitch + h * call.V, pitch, value, call.V,
                                  rowsOf(piece));
  }

  __device__ void fillStates(const Piece& piece, int value) const {
    if (meetsState(piece)) fillState(Layout::states, call.states, value);
    if (meetsAdjoint(piece)) fillState(Layout::states + Layout::panel, call.adjoints, value);
  }

  __device__ void fillState(int offset, const __nv_bfloat16* from, int value) const {
    fillTile<64, diagonalThreads>(tile(offset), from + index() * call.V * call.K, call.K, channel, call.K,
                                  {value, 0, min(64, call.V - value), false});
  }

  /// Asks for the states' rows from `value` on, which are loaded when those before are used up.
  __device__ void prefetchStates(const Piece& piece, int value) const {
    const int thread = threadAnew(), row = thread % 64 + value;
    const __nv_bfloat16* const states = thread < 64 ? call.states : call.adjoints;
    const bool met = thread < 64 ? meetsState(piece) : meetsAdjoint(piece);
    if (thread < 128 && met && row < call.V)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(states + (index() * call.V + row) * call.K + channel));
  }

  /// Of the head in [B, T, H, K].
  __device__ int64_t head() const { return b * call.T * call.H * call.K + h * call.K; }

  __device__ void fillPieceTokens(const Piece& piece) const {
    const int pitch = call.H * call.K;
    fillTile<64, diagonalThreads>(Q, call.q + head(), pitch, channel, call.K, rowsOf(piece));
    fillTile<64, diagonalThreads>(K, call.k + head(), pitch, channel, call.K, rowsOf(piece));
  }

  __device__ void fillPieceGates(const Piece& piece) const {
    const TileRows rows = rowsOf(piece);
    fillGates(c(), call.g + head(), call.H * call.K, channel, call.K, rows);
    const int row = threadAnew();
    if (row >= tileTokens) return;
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

  /// Rounded to bf16, the same number for a query or an erase key as for the written key that it meets: what
  /// dg is, their difference, is not rounded by it.
  __device__ void storeWeights(Sums& weight) const {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int row = row0 + at.group + 8 * (j / 2), column = 8 * n + at.pairOf + j % 2;
        if (reads ? column > row : column >= row) weight[n][j] = 0.0f;
      }
#pragma unroll
    for (int k = 0; k < 4; k++)
      storeOperandA(tile(reads ? Layout::scoreWeights : Layout::productWeights), row0, k, operandA(weight, k),
                    at.lane);
  }

  /// In tf32, those of scores on and below the diagonal, those of products of keys, transposed, above it.
  __device__ void storeWeightsOfSubs(const Sums& weight) const {
    const KeyPanel to{floats(Layout::weights)};
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int row = row0 + at.group + 8 * (j / 2), column = 8 * n + at.pairOf + j % 2;
        const float rounded = __uint_as_float(roundToTf32(weight[n][j]));
        if (reads && column <= row) to.at(row, column) = rounded;
        if (!reads && column < row) to.at(column, row) = rounded;
      }
  }
};

}  // namespace

}  // namespace longscan
