#include "cuda_diagonal_values.cuh"

namespace longscan {

namespace {

/// One block: a chunk of a head, 64 channels of K.
template <bool reads>
class DiagonalGradient : DiagonalValues<reads> {
  using Values = DiagonalValues<reads>;
  using typename Values::Layout;
  using Values::at, Values::b, Values::c, Values::call, Values::channel, Values::chunk, Values::endKeys,
      Values::erase, Values::h, Values::intoKeys, Values::intoQueries, Values::K, Values::Q, Values::query,
      Values::row0, Values::subs, Values::weights, Values::write;
  using Values::betaOf, Values::eachPair, Values::floats, Values::isDeep, Values::meetsAdjoint,
      Values::meetsState, Values::pairOf, Values::rowsOf, Values::scaleColumns, Values::sub;
  enum Barrier { writeGradientsThere = 1 };

 public:
  using Values::Values;

  __device__ void run() {
    if (chunk < 0) return;
    if (call.finished != nullptr) waitForParts(call.finished + Values::index(), deltaPartsOfChunk(call.V));
    for (int low = 0, closed = false; !closed;) {
      const Piece piece = pieceFrom(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, low);
      low = piece.high;
      closed = piece.closesChunk;
      Values::multiplyValues(piece);
      __syncthreads();
      decayTokens();
      __syncthreads();
      if constexpr (reads)
        readEarlier();
      else
        readLater(piece);
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

  /// What queries and erase keys get from the state and from earlier keys: sub-chunk by sub-chunk, what there
  /// is so far decays to its end and its keys are added.
  __device__ void readEarlier() {
    const bool deep = isDeep();
#pragma unroll 1
    for (int other = 0; other <= sub(); other++) {
      if (other == sub() && deep) break;
      scaleColumns(query, subs().decays(other));
      scaleColumns(erase, subs().decays(other));
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
    eachPair([&](int, int n, int j, float2 sum, float2 total) {
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
      eachPair([&](int row, int n, int j, float2 sum, float2) {
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
    if (meetsAdjoint(piece)) storeBehind();
    const bool deep = isDeep();
#pragma unroll 1
    for (int other = numSubs - 1; other >= sub(); other--) {
      if (other == sub() && deep) break;
      scaleColumns(write, subs().decays(other));
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
    eachPair([&](int row, int n, int j, float2 sum, float2 total) {
      const float beta = betaOf(row);
      write[n][j] *= beta * exp2Fast(deep ? total.x - sum.x : -sum.x);
      write[n][j + 1] *= beta * exp2Fast(deep ? total.y - sum.y : -sum.y);
    });
    if (!deep) return;
#pragma unroll 1
    for (int token = row0; token < row0 + subTokens; token++)
      eachPair([&](int row, int n, int j, float2 sum, float2) {
        const float beta = betaOf(row);
        const float ofScore = token >= row ? call.scale * beta * weights().at(token, row) : 0.0f;
        const float ofProduct = token > row ? beta * weights().at(row, token) : 0.0f;
        const float2 end = pairOf(&c().at(token, 0), n);
        const float2 query = pairOf(Q, token, n), key = pairOf(K, token, n);
        write[n][j] += (ofScore * query.x - ofProduct * key.x) * exp2Fast(fminf(end.x - sum.x, 0.0f));
        write[n][j + 1] += (ofScore * query.y - ofProduct * key.y) * exp2Fast(fminf(end.y - sum.y, 0.0f));
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

  __device__ void store(const Piece& piece) {
    const KeyPanel writeGradients{floats(Layout::writeGradients)}, changes{floats(Layout::changes)};
    if constexpr (reads) {
      storeGradient(rowsOf(piece), query, call.dq);
      joinBarrier(writeGradientsThere, diagonalThreads);
      eachPair([&](int row, int n, int j, float2, float2) {
        const float2 q = pairOf(Q, row, n), k = pairOf(K, row, n),
                     written = writeGradients.pairAt(row, 8 * n + at.pairOf);
        changes.pairAt(row, 8 * n + at.pairOf) =
            make_float2(q.x * query[n][j] + k.x * (erase[n][j] - written.x),
                        q.y * query[n][j + 1] + k.y * (erase[n][j + 1] - written.y));
        erase[n][j] += written.x;
        erase[n][j + 1] += written.y;
      });
      storeGradient(rowsOf(piece), erase, call.dk);
    } else {
      eachPair([&](int row, int n, int j, float2, float2) {
        writeGradients.pairAt(row, 8 * n + at.pairOf) = make_float2(write[n][j], write[n][j + 1]);
      });
      announceAtBarrier(writeGradientsThere, diagonalThreads);
      if (call.dbeta != nullptr) storeBetaGradients(rowsOf(piece));
    }
    __syncthreads();
    storeGateGradients(piece, changes);
  }

  /// Shares of dbeta = k . dk / beta, dk as written key. (Z . N / beta is the same from numbers rounded once
  /// more.)
  __device__ void storeBetaGradients(const TileRows& rows) const {
    float dots[2] = {};
    eachPair([&](int row, int n, int j, float2, float2) {
      const float2 k = pairOf(K, row, n);
      dots[j / 2] += k.x * write[n][j] + k.y * write[n][j + 1];
    });
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) dots[i] += __shfl_xor_sync(~0u, dots[i], distance);
      const int row = row0 + at.group + 8 * i;
      if (at.pairOf != 0 || !rows.has(row)) continue;
      const int64_t token = b * call.T + rows.first + row;
      call.dbeta[(channel / 64 * call.B * call.T + token) * call.H + h] = dots[i] / betaOf(row);
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

// Two of them fit into a Hopper multiprocessor's memory, elsewhere one.
__global__ void __launch_bounds__(diagonalThreads, LONGSCAN_WGMMA ? 2 : 1)
    diagonalGradientKernel(const __grid_constant__ DeltaDiagonalGradientCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  if (warpgroupNumber() == 0)
    DiagonalGradient<true>(call, shared).run();
  else
    DiagonalGradient<false>(call, shared).run();
  if (call.finished != nullptr && blockIdx.y + 1 == gridDim.y && blockIdx.z + 1 == gridDim.z)
    waitForKernelBefore();
}

}  // namespace

cudaError_t launchDeltaDiagonalGradient(const DeltaDiagonalGradientCall& call, cudaStream_t stream) {
  constexpr int bytes = DiagonalGradientLayout::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(diagonalGradientKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  // The last chunks first, all heads of a chunk together, as the sweep finishes them. Blocks of one chunk and
  // head side by side: they read the same tokens.
  constexpr int64_t layer = DiagonalGradientBlock::chunksOfLayer;
  const int64_t chunks = (call.T + tileTokens - 1) / tileTokens, parts = (call.K + 63) / 64;
  const dim3 grid(static_cast<unsigned>(call.B * call.H * parts), static_cast<unsigned>(min(chunks, layer)),
                  static_cast<unsigned>((chunks + layer - 1) / layer));
  if (call.finished != nullptr)
    return launchBeside(diagonalGradientKernel, grid, diagonalThreads, bytes, stream, call);
  diagonalGradientKernel<<<grid, diagonalThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
