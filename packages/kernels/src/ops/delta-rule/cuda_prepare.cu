#include "cuda_inverse.cuh"
#include "cuda_lane.cuh"
#include "cuda_prepare.h"

namespace longscan {

namespace {

constexpr int prepareThreads = 128;

template <int KP>
struct PrepareLayout {
  static constexpr int keys = Tile<KP>::bytes;
  static constexpr int square = keys + Tile<KP>::bytes;
  static constexpr int gates = square + FloatSquare::bytes;
  static constexpr int sums = gates + 64 * 4;
  static constexpr int beta = sums + 4 * 64 * 4;
  static constexpr int bytes = beta + 64 * 4;
};

/// visit(row, column, near, far) for what a thread has of rows [16 stripe, 16 stripe + 16) of X Y^T, columns
/// up to the diagonal block.
template <int KP, typename Visit>
__device__ void eachScore(Tile<KP> X, Tile<KP> Y, int stripe, const DeltaLane& at, Visit&& visit) {
  float sum[4][2][4] = {};
#pragma unroll 2
  for (int k = 0; k < KP / 16; k++) {
    const MmaA x = loadA(X, 16 * stripe, 16 * k, at.lane);
#pragma unroll
    for (int n = 0; n < 4; n++)
      if (n <= stripe) mma(sum[n][0], sum[n][1], x, loadBTransposed(Y, 16 * n, 16 * k, at.lane));
  }
#pragma unroll
  for (int n = 0; n < 4; n++) {
    if (n > stripe) break;
#pragma unroll
    for (int i = 0; i < 4; i++)
      visit(16 * stripe + at.group + 8 * (i & 1), 16 * n + 8 * (i >> 1) + at.pairOf,
            sum[n][i >> 1][2 * (i & 1)], sum[n][i >> 1][2 * (i & 1) + 1]);
  }
}

/// The lower triangle of a square in f32, and zeros above it, as rows [low, high) of 64 in bf16.
__device__ void storeLower(FloatSquare from, __nv_bfloat16* to, const Piece& piece) {
  for (int i = threadIdx.x; i < 64 * 8; i += prepareThreads) {
    const int row = i / 8, column = i % 8 * 8;
    if (row < piece.low || row >= piece.high) continue;
    uint32_t packed[4];
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
      const float2 both = from.pairAt(row, column + 2 * pair);
      packed[pair] =
          pack(column + 2 * pair <= row ? both.x : 0.0f, column + 2 * pair + 1 <= row ? both.y : 0.0f);
    }
    *reinterpret_cast<uint4*>(to + row * 64 + column) =
        make_uint4(packed[0], packed[1], packed[2], packed[3]);
  }
}

template <int KP>
__global__ void __launch_bounds__(prepareThreads)
    prepareKernel(const __grid_constant__ DeltaPrepareCall call) {
  using Layout = PrepareLayout<KP>;
  extern __shared__ __align__(128) unsigned char shared[];
  const Tile<KP> Q{sharedAddress(shared)}, K{sharedAddress(shared + Layout::keys)};
  const FloatSquare square{reinterpret_cast<float*>(shared + Layout::square)};
  float* const gates = reinterpret_cast<float*>(shared + Layout::gates);
  float* const beta = reinterpret_cast<float*>(shared + Layout::beta);
  const DeltaLane at;
  float* const sums = reinterpret_cast<float*>(shared + Layout::sums) + 64 * at.warp;

  const int chunk = blockIdx.x;
  const int64_t bh = blockIdx.y, b = bh / call.H, h = bh % call.H;
  const int pitch = call.H * call.K;
  const int64_t head = b * call.T * pitch + h * call.K;
  const int64_t firstRow = (bh * gridDim.x + chunk) * tileTokens;

  PieceWalk walk(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, chunk + 1, false);
  for (; !walk.done(); walk.advance()) {
    const Piece& piece = walk.piece();
    const TileRows rows{static_cast<int64_t>(chunk) * tileTokens, piece.low, piece.high, false};
    fillTile<KP, prepareThreads>(Q, call.q + head, pitch, 0, call.K, rows);
    fillTile<KP, prepareThreads>(K, call.k + head, pitch, 0, call.K, rows);
    commitCopies();
    if (threadIdx.x < 64) {
      const int row = threadIdx.x;
      const int64_t token = (b * call.T + rows.first + row) * call.H + h;
      gates[row] = call.g != nullptr && rows.has(row) ? call.g[token] : 0.0f;
      beta[row] = !rows.has(row) ? 0.0f : call.beta ? usableBeta(call.beta[token]) : 1.0f;
    }
    waitForCopies<0>();
    __syncthreads();
    sumLogGates(gates, sums, at.lane);

    const auto decay = [&](int row, int column) { return exp2Fast(sums[row] - sums[column]); };
    eachScore(Q, K, at.warp, at, [&](int row, int column, float near, float far) {
      square.pairAt(row, column) = make_float2(call.scale * near * beta[column] * decay(row, column),
                                               call.scale * far * beta[column + 1] * decay(row, column + 1));
    });
    __syncthreads();
    storeLower(square, call.to.scores + firstRow * 64, piece);
    __syncthreads();
    eachScore(K, K, at.warp, at, [&](int row, int column, float near, float far) {
      square.pairAt(row, column) =
          make_float2(column < row ? near * beta[column] * decay(row, column) : 0.0f,
                      column + 1 < row ? far * beta[column + 1] * decay(row, column + 1) : 0.0f);
    });
    if (threadIdx.x < 64 && rows.has(threadIdx.x)) {
      const int row = threadIdx.x;
      call.to.into[firstRow + row] = exp2Fast(sums[row]);
      call.to.outOf[firstRow + row] = beta[row] * exp2Fast(sums[piece.high - 1] - sums[row]);
    }
    __syncthreads();
    invertUnitLower(square, at.warp, at.lane);
    storeLower(square, call.to.inverse + firstRow * 64, piece);
    __syncthreads();
  }
}

template <int KP>
cudaError_t launch(const DeltaPrepareCall& call, cudaStream_t stream) {
  constexpr int bytes = PrepareLayout<KP>::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(prepareKernel<KP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const auto chunks = static_cast<unsigned>((call.T + tileTokens - 1) / tileTokens);
  prepareKernel<KP>
      <<<dim3(chunks, static_cast<unsigned>(call.B * call.H)), prepareThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchDeltaPrepare(const DeltaPrepareCall& call, cudaStream_t stream) {
  if (call.K <= 64) return launch<64>(call, stream);
  return call.K <= 128 ? launch<128>(call, stream) : launch<256>(call, stream);
}

}  // namespace longscan
