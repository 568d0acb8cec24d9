#pragma once

#include "cuda/group_sums.cuh"
#include "values.cuh"

namespace longscan {

namespace {

/// What the tokens of a mild chunk give each other, beside what they get from the states.
template <bool reads>
class DiagonalTokens : protected DiagonalValues<reads> {
  using Values = DiagonalValues<reads>;

 protected:
  using typename Values::Layout;
  using Values::at, Values::c, Values::call, Values::erase, Values::K, Values::Q, Values::query, Values::row0,
      Values::subs, Values::write;
  using Values::betaOf, Values::eachPair, Values::floats, Values::meetsAdjoint, Values::ownPairOf,
      Values::pairOf, Values::scaleColumns, Values::split, Values::tile;

  using Values::Values;

  /// From the products with states to the gradients of queries and erase keys, or of written keys.
  __device__ void addTokens(const Piece& piece) {
    decayTokens();
    publishToProducts();
    __syncthreads();
    const Tile<64> scores = tile(Layout::scoreWeights), products = tile(Layout::productWeights);
    if constexpr (reads) {
      const SplitTile keys = split(Layout::backKeys);
      beginProducts();
#pragma unroll
      for (int k = 0; k < 4; k++) {
        multiply<StoredB::columns>(query, scores, k, keys.high, k);
        multiply<StoredB::columns>(query, scores, k, keys.low, k);
        multiply<StoredB::columns>(erase, products, k, keys.high, k);
        multiply<StoredB::columns>(erase, products, k, keys.low, k);
      }
      commitProducts();
      waitForProducts<0>();
      eachPair([&](int, int n, int j, float2 sum) {
        const float near = exp2Fast(sum.x), far = exp2Fast(sum.y);
        query[n][j] *= call.scale * near;
        query[n][j + 1] *= call.scale * far;
        erase[n][j] *= -near;
        erase[n][j + 1] *= -far;
      });
    } else {
      if (meetsAdjoint(piece)) {
        storeBehind();
        scaleColumns(write, [&](int n) { return pairOf(floats(Layout::gamma), n); });
      }
      const SplitTile queries = split(Layout::onQueries), keys = split(Layout::onKeys);
      beginProducts();
#pragma unroll
      for (int k = 0; k < 4; k++) {
        multiplyTransposed(write, scores, k, queries.high, k);
        multiplyTransposed(write, scores, k, queries.low, k);
        multiplyTransposed(write, products, k, keys.high, k);
        multiplyTransposed(write, products, k, keys.low, k);
      }
      commitProducts();
      waitForProducts<0>();
      eachPair([&](int row, int n, int j, float2 sum) {
        const float beta = betaOf(row);
        write[n][j] *= beta * exp2Fast(-sum.x);
        write[n][j + 1] *= beta * exp2Fast(-sum.y);
      });
    }
  }

  /// Shares of what the chunk's keys get from behind it, as a part of dg: sum_j k_j o dk_j.
  __device__ void storeBehind() const {
    float sums[16] = {};
    eachPair([&](int row, int n, int j, float2 sum) {
      const float2 key = ownPairOf(K, n, j), end = pairOf(subs().starts(numSubs), n);
      const float beta = betaOf(row);
      sums[2 * n] += beta * key.x * exp2Fast(end.x - sum.x) * write[n][j];
      sums[2 * n + 1] += beta * key.y * exp2Fast(end.y - sum.y) * write[n][j + 1];
    });
    sumOverGroups<8, 16>(sums, at.lane);  // of 16 numbers, to the two of n = group
    *reinterpret_cast<float2*>(floats(Layout::behind) + 64 * (at.warp % 4) + 8 * at.group + at.pairOf) =
        make_float2(sums[0], sums[1]);
  }

 private:
  /// Keys decayed back to the piece's start, times beta; queries and erase keys decayed from there.
  __device__ void decayTokens() const {
    const SplitTile backKeys = split(Layout::backKeys), onQueries = split(Layout::onQueries),
                    onKeys = split(Layout::onKeys);
    const int own = threadIdx.x % 16 * 4;
#pragma unroll 1
    for (int row = threadIdx.x / 16; row < tileTokens; row += 16) {
      const float beta = betaOf(row);
      float q[4], k[4], sum[4], back[4];
      loadFour(q, Q, row, own);
      loadFour(k, K, row, own);
      loadFour(sum, &c().at(row, own));
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float into = exp2Fast(sum[i]);
        back[i] = beta * k[i] * exp2Fast(-sum[i]);
        q[i] *= call.scale * into;
        k[i] *= -into;
      }
      backKeys.storeFour(row, own, back);
      onQueries.storeFour(row, own, q);
      onKeys.storeFour(row, own, k);
    }
  }
};

}  // namespace

}  // namespace longscan
