#include "cuda_lane.cuh"
#include "cuda_split.cuh"
#include "cuda_summary_fold.h"

namespace longscan {

namespace {

constexpr int foldRows = 16, columnsPerWarp = 16;

/// Both columns' operands over 16 contracted numbers, in two bf16 terms each.
struct FactorOperand {
  MmaB2 high, low;

  /// B[k, n] = factor[row + k][column + n], `transposed` factor[column + n][row + k]; what lies outside is
  /// zero.
  template <bool transposed>
  __device__ void load(const float* factor, int K, int row, int column, const DeltaLane& at) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int k = row + at.pairOf + 8 * (i & 1), n = column + at.group + 8 * (i >> 1);
      float2 both = make_float2(0.0f, 0.0f);
      if (k < K && n < K)  // K is even
        both = transposed ? *reinterpret_cast<const float2*>(factor + n * K + k)
                          : make_float2(factor[k * K + n], factor[(k + 1) * K + n]);
      high.x[i] = pack(both.x, both.y);
      low.x[i] = pack(both.x - lowHalf(high.x[i]), both.y - highHalf(high.x[i]));
    }
  }
};

/// Sixteen rows of E or M^T through the segments, or of D against time, in a block; a warp has 16 columns of
/// them.
template <bool against>
class Fold {
  const DeltaFoldInputs& segments;
  float* const shared;  // two of [16, pitch], taken in turns
  const DeltaLane at;
  const int K, pitch, tilesOfState, tile, column0;
  const bool isFactor;
  const int row0, rows;
  const int64_t bh;
  // A thread's part of the rows, as of two accumulators side by side.
  float sum[2][4];

 public:
  __device__ Fold(const DeltaFoldInputs& segments, float* shared, int tiles)
      : segments(segments),
        shared(shared),
        K(segments.K),
        pitch((K + 15) / 16 * 16 + 4),
        tilesOfState((segments.V + foldRows - 1) / foldRows),
        tile(static_cast<int>(blockIdx.x % tiles)),
        column0(columnsPerWarp * at.warp),
        isFactor(tile >= tilesOfState),
        row0(foldRows * (isFactor ? tile - tilesOfState : tile)),
        rows(isFactor ? K : segments.V),
        bh(blockIdx.x / tiles) {}

  __device__ void compose(float* state, float* factor) {
    take(own(0));
    for (int g = 1; g < segments.numSegments; g++) pass(g, false);
    store((isFactor ? factor : state) + bh * rows * K);
  }

  __device__ void enter(const float* incoming, float* entering) {
    take(incoming == nullptr ? nullptr : incoming + bh * rows * K);
    for (int g = 0;; g++) {
      store(entering + (g * segments.heads + bh) * rows * K);
      if (g + 1 == segments.numSegments) return;
      pass(g, g == 0 && incoming == nullptr);
    }
  }

  __device__ void leave(const float* outgoing, float* behind, float* before) {
    const int last = segments.numSegments - 1;
    take(outgoing == nullptr ? nullptr : outgoing + bh * rows * K);
    for (int g = last; g >= 0; g--) {
      if (g < last && behind != nullptr) store(behind + (g * segments.heads + bh) * rows * K);
      if (g == 0 && before == nullptr) return;
      pass(g, g == last && outgoing == nullptr);
    }
    store(before + bh * rows * K);
  }

 private:
  /// Through segment g: times its M^T, against time its M, and what it has of its own is added.
  __device__ void pass(int g, bool isZero) {
    float* const before = shared + g % 2 * foldRows * pitch;
#pragma unroll
    for (int i = 0; i < 4; i++)
      *reinterpret_cast<float2*>(before + place(i, column0)) =
          make_float2(sum[i >> 1][2 * (i & 1)], sum[i >> 1][2 * (i & 1) + 1]);
    __syncthreads();
    take(isFactor ? nullptr : own(g));
    if (isZero || segments.starts[g * segments.heads + bh]) return;
    const float* const factor = segments.factors + (g * segments.heads + bh) * K * K;
#pragma unroll 4
    for (int k = 0; k < K; k += 16) {
      SplitA x;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float2 both = *reinterpret_cast<const float2*>(before + place(i, k));
        x.set(i, both.x, both.y);
      }
      FactorOperand f;
      f.load<against>(factor, K, k, column0, at);
      mma(sum[0], sum[1], x.low, f.high);
      mma(sum[0], sum[1], x.high, f.low);
      mma(sum[0], sum[1], x.high, f.high);
    }
  }

  /// Of the thread's pair i of 16 x 16 numbers from `column` on, in shared memory.
  __device__ int place(int i, int column) const {
    return (at.group + 8 * (i & 1)) * pitch + column + at.pairOf + 8 * (i >> 1);
  }

  __device__ const float* own(int g) const {
    return (isFactor ? segments.factors : segments.states) + (g * segments.heads + bh) * rows * K;
  }

  /// visit(place in the head's [rows, K], or -1; both numbers there)
  template <typename Visit>
  __device__ void each(Visit&& visit) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = row0 + at.group + 8 * (i & 1), column = column0 + at.pairOf + 8 * (i >> 1);
      visit(row < rows && column < K ? row * K + column : -1, sum[i >> 1][2 * (i & 1)],
            sum[i >> 1][2 * (i & 1) + 1]);
    }
  }

  /// Null: zeros.
  __device__ void take(const float* from) {
    each([&](int at, float& near, float& far) {
      const float2 both =
          at < 0 || from == nullptr ? make_float2(0.0f, 0.0f) : *reinterpret_cast<const float2*>(from + at);
      near = both.x;
      far = both.y;
    });
  }
  __device__ void store(float* to) {
    each([&](int at, float near, float far) {
      if (at >= 0) *reinterpret_cast<float2*>(to + at) = make_float2(near, far);
    });
  }
};

__host__ __device__ int tilesOf(int rows) {
  return (rows + foldRows - 1) / foldRows;
}

__global__ void __launch_bounds__(512)
    composeKernel(const DeltaFoldInputs segments, float* state, float* factor) {
  extern __shared__ float shared[];
  Fold<false>(segments, shared, tilesOf(segments.V) + tilesOf(segments.K)).compose(state, factor);
}

__global__ void __launch_bounds__(512)
    enterKernel(const DeltaFoldInputs segments, const float* incoming, float* entering) {
  extern __shared__ float shared[];
  Fold<false>(segments, shared, tilesOf(segments.V)).enter(incoming, entering);
}

__global__ void __launch_bounds__(512)
    leaveKernel(const DeltaFoldInputs segments, const float* outgoing, float* behind, float* before) {
  extern __shared__ float shared[];
  Fold<true>(segments, shared, tilesOf(segments.V)).leave(outgoing, behind, before);
}

template <typename... Arguments>
cudaError_t launch(void (*kernel)(DeltaFoldInputs, Arguments...), const DeltaFoldInputs& segments, int tiles,
                   cudaStream_t stream, Arguments... arguments) {
  const int columns = (segments.K + columnsPerWarp - 1) / columnsPerWarp;
  const int bytes = 2 * foldRows * (columnsPerWarp * columns + 4) * static_cast<int>(sizeof(float));
  const auto blocks = static_cast<unsigned>(segments.heads * tiles);
  kernel<<<blocks, 32 * columns, bytes, stream>>>(segments, arguments...);
  return cudaGetLastError();
}

__global__ void resetsKernel(const int32_t* starts, int64_t B, int H, int numSegments, float* reset) {
  const int64_t b = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (b >= B) return;
  bool any = false;
  for (int g = 0; g < numSegments; g++) any |= starts[(g * B + b) * H] != 0;
  reset[b] = any ? 1.0f : 0.0f;
}

}  // namespace

cudaError_t launchDeltaCompose(const DeltaFoldInputs& segments, float* state, float* factor,
                               cudaStream_t stream) {
  const int tiles = tilesOf(segments.V) + tilesOf(segments.K);
  return launch(composeKernel, segments, tiles, stream, state, factor);
}

cudaError_t launchDeltaEnter(const DeltaFoldInputs& segments, const float* incoming, float* entering,
                             cudaStream_t stream) {
  return launch(enterKernel, segments, tilesOf(segments.V), stream, incoming, entering);
}

cudaError_t launchDeltaLeave(const DeltaFoldInputs& segments, const float* outgoing, float* behind,
                             float* before, cudaStream_t stream) {
  return launch(leaveKernel, segments, tilesOf(segments.V), stream, outgoing, behind, before);
}

cudaError_t launchDeltaResets(const int32_t* starts, int64_t B, int H, int numSegments, float* reset,
                              cudaStream_t stream) {
  resetsKernel<<<static_cast<unsigned>((B + 127) / 128), 128, 0, stream>>>(starts, B, H, numSegments, reset);
  return cudaGetLastError();
}

}  // namespace longscan
