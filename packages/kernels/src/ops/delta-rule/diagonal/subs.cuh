#pragma once

#include "tokens.cuh"

namespace longscan {

namespace {

/// What the tokens of a chunk give each other that decays too far for two factors, by sub-chunks.
template <bool reads>
class DiagonalSubChunks : protected DiagonalTokens<reads> {
  using Tokens = DiagonalTokens<reads>;

 protected:
  using Tokens::at, Tokens::c, Tokens::call, Tokens::erase, Tokens::K, Tokens::Q, Tokens::query, Tokens::row0,
      Tokens::subs, Tokens::write;
  using Tokens::betaOf, Tokens::eachPair, Tokens::floats, Tokens::meetsAdjoint, Tokens::pairOf,
      Tokens::scaleColumns;
  using typename Tokens::Layout;

  using Tokens::Tokens;

  /// As `addTokens`.
  __device__ void addTokensBySubs(const Piece& piece) {
    decayTokens();
    __syncthreads();
    if constexpr (reads)
      readEarlier();
    else
      readLater(piece);
  }

 private:
  /// The warp's sub-chunk.
  __device__ int sub() const { return at.warp % 4; }
  __device__ KeyPanel endKeys() const { return {floats(Layout::endKeys)}; }
  __device__ KeyPanel intoQueries() const { return {floats(Layout::intoQueries)}; }
  __device__ KeyPanel intoKeys() const { return {floats(Layout::intoKeys)}; }
  __device__ KeyPanel weights() const { return {floats(Layout::weights)}; }

  /// Whether some channel decays so far in the warp's sub-chunk that its pairs are taken one by one.
  __device__ bool isDeep() const {
    const float2 total = *reinterpret_cast<const float2*>(subs().totals(sub()) + 2 * at.lane);
    return __any_sync(~0u, fminf(total.x, total.y) < deepest);
  }

  /// As eachPair, with sums from the sub-chunk's start, and of the whole sub-chunk.
  template <typename Visit>
  __device__ void eachSubPair(Visit&& visit) const {
    eachPair([&](int row, int n, int j, float2 sum) {
      const float2 start = pairOf(subs().starts(sub()), n), total = pairOf(subs().totals(sub()), n);
      visit(row, n, j, make_float2(sum.x - start.x, sum.y - start.y), total);
    });
  }

  /// Decays columns by a whole sub-chunk.
  __device__ void decayBy(Sums& sum, int other) const {
    scaleColumns(sum, [&](int n) {
      const float2 total = pairOf(subs().totals(other), n);
      return make_float2(exp2Fast(total.x), exp2Fast(total.y));
    });
  }

  /// Tokens as the other sub-chunks meet them, with what their weights are to be multiplied by.
  __device__ void decayTokens() const {
    const int own = threadIdx.x % 16 * 4;
#pragma unroll
    for (int sub = 0; sub < numSubs; sub++) {
      const int row = subTokens * sub + threadIdx.x / 16;
      const float beta = betaOf(row);
      float q[4], k[4], sum[4], start[4], end[4];
      loadFour(q, Q, row, own);
      loadFour(k, K, row, own);
      loadFour(sum, &c().at(row, own));
      loadFour(start, subs().starts(sub) + own);
      loadFour(end, subs().starts(sub + 1) + own);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float into = exp2Fast(sum[i] - start[i]);
        end[i] = beta * k[i] * exp2Fast(end[i] - sum[i]);
        q[i] *= call.scale * into;
        k[i] *= -into;
      }
      storeFour(&endKeys().at(row, own), end);
      storeFour(&intoQueries().at(row, own), q);
      storeFour(&intoKeys().at(row, own), k);
    }
  }

  /// What queries and erase keys get from the state and from earlier keys: sub-chunk by sub-chunk, what there
  /// is so far decays to its end and its keys are added.
  __device__ void readEarlier() {
    const bool deep = isDeep();
#pragma unroll 1
    for (int other = 0; other <= sub(); other++) {
      if (other == sub() && deep) break;
      decayBy(query, other);
      decayBy(erase, other);
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const int token = subTokens * other + 8 * step + at.pairOf;
        uint32_t ofScores[4], ofProducts[4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int row = row0 + at.group + 8 * i;
          const uint2 pair = weights().pairBitsAt(row, token);
          ofScores[i] = token <= row ? pair.x : 0;
          ofScores[i + 2] = token + 1 <= row ? pair.y : 0;
          ofProducts[i] = token < row ? weights().bitsAt(token, row) : 0;
          ofProducts[i + 2] = token + 1 < row ? weights().bitsAt(token + 1, row) : 0;
        }
#pragma unroll
        for (int n = 0; n < 8; n++) {
          const uint32_t near = endKeys().bitsAt(token, 8 * n + at.group),
                         far = endKeys().bitsAt(token + 1, 8 * n + at.group);
          mmaTf32(query[n], ofScores, near, far);
          mmaTf32(erase[n], ofProducts, near, far);
        }
      }
    }
    // From the end of the sub-chunk back to the row, or on to it from the start.
    eachSubPair([&](int, int n, int j, float2 sum, float2 total) {
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
      eachPair([&](int row, int n, int j, float2 sum) {
        const float ofScore = token <= row ? call.scale * beta * weights().at(row, token) : 0.0f;
        const float ofProduct = token < row ? beta * weights().at(token, row) : 0.0f;
        const float2 start = pairOf(&c().at(token, 0), n), key = pairOf(K, token, n);
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
    if (meetsAdjoint(piece)) this->storeBehind();
    const bool deep = isDeep();
#pragma unroll 1
    for (int other = numSubs - 1; other >= sub(); other--) {
      if (other == sub() && deep) break;
      decayBy(write, other);
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const int token = subTokens * other + 8 * step + at.pairOf;
        uint32_t ofScores[4], ofProducts[4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int row = row0 + at.group + 8 * i;
          const uint2 pair = weights().pairBitsAt(row, token);
          ofProducts[i] = token > row ? pair.x : 0;
          ofProducts[i + 2] = token + 1 > row ? pair.y : 0;
          ofScores[i] = token >= row ? weights().bitsAt(token, row) : 0;
          ofScores[i + 2] = token + 1 >= row ? weights().bitsAt(token + 1, row) : 0;
        }
#pragma unroll
        for (int n = 0; n < 8; n++) {
          const int column = 8 * n + at.group;
          mmaTf32(write[n], ofScores, intoQueries().bitsAt(token, column),
                  intoQueries().bitsAt(token + 1, column));
          mmaTf32(write[n], ofProducts, intoKeys().bitsAt(token, column),
                  intoKeys().bitsAt(token + 1, column));
        }
      }
    }
    eachSubPair([&](int row, int n, int j, float2 sum, float2 total) {
      const float beta = betaOf(row);
      write[n][j] *= beta * exp2Fast(deep ? total.x - sum.x : -sum.x);
      write[n][j + 1] *= beta * exp2Fast(deep ? total.y - sum.y : -sum.y);
    });
    if (!deep) return;
#pragma unroll 1
    for (int token = row0; token < row0 + subTokens; token++)
      eachPair([&](int row, int n, int j, float2 sum) {
        const float beta = betaOf(row);
        const float ofScore = token >= row ? call.scale * beta * weights().at(token, row) : 0.0f;
        const float ofProduct = token > row ? beta * weights().at(row, token) : 0.0f;
        const float2 end = pairOf(&c().at(token, 0), n);
        const float2 query = pairOf(Q, token, n), key = pairOf(K, token, n);
        write[n][j] += (ofScore * query.x - ofProduct * key.x) * exp2Fast(fminf(end.x - sum.x, 0.0f));
        write[n][j + 1] += (ofScore * query.y - ofProduct * key.y) * exp2Fast(fminf(end.y - sum.y, 0.0f));
      });
  }
};

}  // namespace

}  // namespace longscan
