#include "cuda_lane.cuh"
#include "cuda_split.cuh"
#include "cuda_summary_fold.h"

namespace longscan {

namespace {

constexpr int foldRows = 16, columnsPerWarp = 16;

/// Both columns' operands over 16 contracted numbers, in two bf16 terms each.
struct FactorOperand {
  MmaB2 high, low;

  /// B[k, n] = factor[row + k][column + n]; what lies outside is zero.
  __device__ void load(const float* factor, int K, int row, int column, const DeltaLane& at) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int k = row + at.pairOf + 8 * (i & 1), n = column + at.group + 8 * (i >> 1);
      const bool there = k < K && n < K;  // K is even
      const float near = there ? factor[k * K + n] : 0.0f, far = there ? factor[(k + 1) * K + n] : 0.0f;
      high.x[i] = pack(near, far);
      low.x[i] = pack(near - lowHalf(high.x[i]), far - highHalf(high.x[i]));
    }
  }
};

/// A block has 16 rows of E or M^T, a warp 16 columns of them.
__global__ void __launch_bounds__(512) foldKernel(const DeltaFoldCall call) {
  extern __shared__ float shared[];
  const DeltaLane at;
  const int K = call.K, pitch = (K + 15) / 16 * 16 + 4;
  const int tilesOfState = (call.V + foldRows - 1) / foldRows;
  const int tiles = tilesOfState + (K + foldRows - 1) / foldRows;
  const int64_t bh = blockIdx.x / tiles;
  const int tile = static_cast<int>(blockIdx.x % tiles);
  const bool isFactor = tile >= tilesOfState;
  const int row0 = foldRows * (isFactor ? tile - tilesOfState : tile), rows = isFactor ? K : call.V;
  const int column0 = columnsPerWarp * at.warp;

  // A thread's part of the rows: as of two accumulators side by side.
  float sum[2][4];
  const auto place = [&](int i) {
    const int row = row0 + at.group + 8 * (i & 1), column = column0 + at.pairOf + 8 * (i >> 1);
    return row < rows && column < K ? static_cast<int64_t>(row) * K + column : -1;
  };
  const auto visit = [&](auto&& each) {
#pragma unroll
    for (int i = 0; i < 4; i++) each(place(i), sum[i >> 1][2 * (i & 1)], sum[i >> 1][2 * (i & 1) + 1]);
  };
  const auto take = [&](const float* from) {
    visit([&](int64_t at, float& near, float& far) {
      const float2 both =
          at < 0 || from == nullptr ? make_float2(0.0f, 0.0f) : *reinterpret_cast<const float2*>(from + at);
      near = both.x;
      far = both.y;
    });
  };
  const auto own = [&](int g) {
    return (isFactor ? call.factors : call.states) + (g * call.heads + bh) * rows * K;
  };

  take(own(0));
  for (int g = 1; g < call.numSegments; g++) {
    float* const before = shared + g % 2 * foldRows * pitch;
#pragma unroll
    for (int i = 0; i < 4; i++)
      *reinterpret_cast<float2*>(before + (at.group + 8 * (i & 1)) * pitch + column0 + at.pairOf +
                                 8 * (i >> 1)) =
          make_float2(sum[i >> 1][2 * (i & 1)], sum[i >> 1][2 * (i & 1) + 1]);
    __syncthreads();
    take(isFactor ? nullptr : own(g));
    if (call.starts[g * call.heads + bh]) continue;
    const float* const factor = call.factors + (g * call.heads + bh) * K * K;
#pragma unroll 4
    for (int k = 0; k < K; k += 16) {
      SplitA x;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float2 both = *reinterpret_cast<const float2*>(before + (at.group + 8 * (i & 1)) * pitch + k +
                                                             at.pairOf + 8 * (i >> 1));
        x.set(i, both.x, both.y);
      }
      FactorOperand f;
      f.load(factor, K, k, column0, at);
      mma(sum[0], sum[1], x.low, f.high);
      mma(sum[0], sum[1], x.high, f.low);
      mma(sum[0], sum[1], x.high, f.high);
    }
  }
  float* const to = (isFactor ? call.factor : call.state) + bh * rows * K;
  visit([&](int64_t at, float near, float far) {
    if (at >= 0) *reinterpret_cast<float2*>(to + at) = make_float2(near, far);
  });
}

__global__ void resetsKernel(const int32_t* starts, int64_t B, int H, int numSegments, float* reset) {
  const int64_t b = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (b >= B) return;
  bool any = false;
  for (int g = 0; g < numSegments; g++) any |= starts[(g * B + b) * H] != 0;
  reset[b] = any ? 1.0f : 0.0f;
}

}  // namespace

cudaError_t launchDeltaFold(const DeltaFoldCall& call, cudaStream_t stream) {
  const int columns = (call.K + columnsPerWarp - 1) / columnsPerWarp;
  const int tiles = (call.V + foldRows - 1) / foldRows + (call.K + foldRows - 1) / foldRows;
  const int bytes = 2 * foldRows * (columnsPerWarp * columns + 4) * static_cast<int>(sizeof(float));
  foldKernel<<<static_cast<unsigned>(call.heads * tiles), 32 * columns, bytes, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launchDeltaResets(const int32_t* starts, int64_t B, int H, int numSegments, float* reset,
                              cudaStream_t stream) {
  resetsKernel<<<static_cast<unsigned>((B + 127) / 128), 128, 0, stream>>>(starts, B, H, numSegments, reset);
  return cudaGetLastError();
}

}  // namespace longscan
