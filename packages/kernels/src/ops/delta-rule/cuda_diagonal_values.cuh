#pragma once

#include "cuda_diagonal_block.cuh"
#include "cuda_prepare.h"

namespace longscan {

namespace {

/// A warpgroup's products over V. The first one `reads`: it has the gradients of queries and erase keys; the
/// second has those of written keys.
template <bool reads>
class DiagonalValues : protected DiagonalGradientBlock {
 protected:
  Sums query, erase, write;  // the first two, or the third

  using DiagonalGradientBlock::DiagonalGradientBlock;

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
      if (value == 0) sumSubGates(c(), subs());
      waitForProducts<0>();
      __syncthreads();
    }
    const float gamma = fillDecays(subs());
    if (threadIdx.x < 64) floats(Layout::gamma)[threadIdx.x] = gamma;
    if (!reads) storeStateProducts(product);
    storeWeights(weight);
  }

 private:
  __device__ void fillTokens(const Piece& piece, int stage, int value) const {
    const int offset = Layout::tokens + stage * Layout::tokensBytes;
    const int pitch = call.H * call.V;
    const int64_t head = b * call.T * pitch + h * call.V;
    const TileRows rows = rowsOf(piece);
    fillTile<64, diagonalThreads>(tile(offset), call.dO + head, pitch, value, call.V, rows);
    fillTile<64, diagonalThreads>(tile(offset + Layout::panel), call.dv + head, pitch, value, call.V, rows);
    const int64_t headRows = (index() - chunk) * tileTokens;
    fillTile<64, diagonalThreads>(tile(offset + 2 * Layout::panel), call.corrections + headRows * call.V,
                                  call.V, value, call.V, rows);
  }

  __device__ void fillStates(const Piece& piece, int value) const {
    const TileRows values{value, 0, min(64, call.V - value), false};
    const int64_t place = index() * call.V * call.K;
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
    const bool met = threadIdx.x < 64 ? meetsState(piece) : meetsAdjoint(piece);
    if (threadIdx.x < 128 && met && row < call.V)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(states + (index() * call.V + row) * call.K + channel));
  }

  __device__ void fillPiece(const Piece& piece) const {
    const int pitch = call.H * call.K;
    const int64_t head = b * call.T * pitch + h * call.K;
    const TileRows rows = rowsOf(piece);
    fillTile<64, diagonalThreads>(Q, call.q + head, pitch, channel, call.K, rows);
    fillTile<64, diagonalThreads>(K, call.k + head, pitch, channel, call.K, rows);
    fillGates(c(), call.g + head, pitch, channel, call.K, rows);
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
        if (reads && column <= row) weights().at(row, column) = rounded;
        if (!reads && column < row) weights().at(column, row) = rounded;
      }
  }
};

}  // namespace

}  // namespace longscan
