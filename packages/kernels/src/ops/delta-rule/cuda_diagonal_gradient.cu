#include "cuda_diagonal_values.cuh"

namespace longscan {

namespace {

/// The first warpgroup has what comes from outputs: the gradients of queries, and of written keys as far as
/// queries and D read them. The second has what comes from Z: those of erase keys, and of written keys as far
/// as they are erased. So a warp meets the sub-chunks before its own and those after it once each: five
/// blocks of weights for every warp.
template <bool ofOutput>
class DiagonalGradient : DiagonalValues<ofOutput> {
  using Values = DiagonalValues<ofOutput>;
  using typename Values::Layout;
  using Values::at, Values::b, Values::bh, Values::c, Values::call, Values::channel, Values::chunk,
      Values::endKeys, Values::h, Values::intoKeys, Values::intoQueries, Values::K, Values::Q, Values::read,
      Values::row0, Values::subs, Values::weights, Values::write;
  using Values::betaOf, Values::eachPair, Values::floats, Values::isDeep, Values::meetsAdjoint,
      Values::meetsState, Values::pairOf, Values::rowsOf, Values::scaleColumns, Values::sub;
  enum Barrier { shareThere = 1 };

 public:
  using Values::Values;

  __device__ void run() {
    for (int low = 0, closed = false; !closed;) {
      const Piece piece = pieceFrom(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, low);
      low = piece.high;
      closed = piece.closesChunk;
      Values::multiplyValues(piece);
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
      loadFour(sum, &c().at(row, own));
      loadFour(end, subs().totals(sub) + own);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float into = exp2Fast(sum[i]);
        end[i] = beta * k[i] * exp2Fast(end[i] - sum[i]);
        q[i] *= call.scale * into;
        k[i] *= -into;
      }
      storeFour(&endKeys().at(row, own), end);
      storeFour(&intoQueries().at(row, own), q);
      storeFour(&intoKeys().at(row, own), k);
    }
  }

  /// Whether a row reads a token's key.
  __device__ static bool reads(int row, int token) {
    return ofOutput ? token <= row : token < row;
  }
  __device__ float weightOf(int row, int token) const {
    return ofOutput ? weights().at(row, token) : weights().at(token, row);
  }
  /// Weights of the warp's rows and 8 tokens as first operand, tf32: for each `reads(row, token)`, or the
  /// other way about. Which of the two lies along the square's rows is a matter of how it is stored.
  template <bool alongRows, typename There>
  __device__ void loadWeights(uint32_t (&a)[4], int token, There&& there) const {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = row0 + at.group + 8 * i;
      const uint2 pair = alongRows
                             ? weights().pairBitsAt(row, token)
                             : make_uint2(weights().bitsAt(token, row), weights().bitsAt(token + 1, row));
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
      scaleColumns(read, subs().decays(other));
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const int token = subTokens * other + 8 * step + at.pairOf;
        uint32_t a[4];
        loadWeights<ofOutput>(a, token, [](int row, int token) { return reads(row, token); });
        addTokens(read, a, endKeys(), token);
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
        const float2 start = pairOf(&c().at(token, 0), n), key = pairOf(K, token, n);
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
      scaleColumns(write, subs().decays(other));
#pragma unroll
      for (int step = 0; step < 2; step++) {
        const int token = subTokens * other + 8 * step + at.pairOf;
        uint32_t a[4];
        loadWeights<!ofOutput>(a, token, [](int row, int token) { return reads(token, row); });
        addTokens(write, a, ofOutput ? intoQueries() : intoKeys(), token);
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
        const float2 end = pairOf(&c().at(token, 0), n), reader = pairOf(ofOutput ? Q : K, token, n);
        write[n][j] += weight * reader.x * exp2Fast(fminf(end.x - sum.x, 0.0f));
        write[n][j + 1] += weight * reader.y * exp2Fast(fminf(end.y - sum.y, 0.0f));
      });
  }

  /// Shares of what the chunk's keys get from behind it, as a part of dg: sum_j k_j o dk_j.
  __device__ void storeBehind() const {
    float sums[16] = {};
    eachPair([&](int row, int n, int j, float2 sum, float2 total) {
      const float2 key = pairOf(K, row, n), after = pairOf(subs().after(sub()), n);
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
