#include <type_traits>

#include "../chunkwise/lane.cuh"
#include "../chunkwise/split.cuh"
#include "fold.h"

namespace longscan {

namespace {

constexpr int foldRows = 16, columnsPerWarp = 16;

__device__ inline void prefetchLine(const void* line) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(line));
}

/// Sixteen rows of E or M^T through the segments, or of D against time, in a block; a warp has 16 columns of
/// them. What a pass waits for is one trip to the L2 cache: of its factor everything is under way at once.
template <int KP, bool against>
class Fold {
  static constexpr int pitch = KP + 4, steps = KP / 16, stepsAtOnce = steps <= 8 ? steps : 4;

  /// Of a factor, a thread's pairs of contracted numbers over 16 times `stepsAtOnce` of them.
  using Pairs = float2[stepsAtOnce][4];

  const DeltaFoldInputs& segments;
  float* const shared;  // two of [16, pitch], taken in turns
  const DeltaLane at;
  const int K, tiles, tilesOfState, tile, column0;
  const bool isFactor;
  const int row0, rows;
  const int64_t bh;
  // A thread's part of the rows, as of two accumulators side by side.
  float sum[2][4];

 public:
  static constexpr int threads = 32 * (KP / columnsPerWarp);
  static constexpr int bytes = 2 * foldRows * pitch * static_cast<int>(sizeof(float));

  __device__ Fold(const DeltaFoldInputs& segments, float* shared, int tiles)
      : segments(segments),
        shared(shared),
        K(segments.K),
        tiles(tiles),
        tilesOfState((segments.V + foldRows - 1) / foldRows),
        tile(static_cast<int>(blockIdx.x % tiles)),
        column0(columnsPerWarp * at.warp),
        isFactor(tile >= tilesOfState),
        row0(foldRows * (isFactor ? tile - tilesOfState : tile)),
        rows(isFactor ? K : segments.V),
        bh(blockIdx.x / tiles) {
    prefetchFactors();
  }

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
      if (behind != nullptr) store(behind + (g * segments.heads + bh) * rows * K);
      if (g == 0 && before == nullptr) return;
      pass(g, g == last && outgoing == nullptr);
    }
    store(before + bh * rows * K);
  }

 private:
  /// The blocks of a head have a share each.
  __device__ void prefetchFactors() const {
    const int lines = K * K / 32;
    for (int i = tile * threads + threadIdx.x; i < segments.numSegments * lines; i += tiles * threads)
      prefetchLine(factor(i / lines) + i % lines * 32);
  }

  /// Through segment g: times its M^T, against time its M, and what it has of its own is added.
  __device__ void pass(int g, bool isZero) {
    Pairs pairs;
    if (!isZero) load(pairs, g, 0);
    const bool forgets = segments.starts[g * segments.heads + bh] != 0;
    float* const before = shared + g % 2 * foldRows * pitch;
#pragma unroll
    for (int i = 0; i < 4; i++)
      *reinterpret_cast<float2*>(before + place(i, column0)) =
          make_float2(sum[i >> 1][2 * (i & 1)], sum[i >> 1][2 * (i & 1) + 1]);
    take(isFactor ? nullptr : own(g));
    __syncthreads();
    if (isZero || forgets) return;
    float low[2][4] = {}, mixed[2][4] = {};
#pragma unroll 1
    for (int first = 0; first < steps; first += stepsAtOnce) {
      if (first > 0) load(pairs, g, first);
#pragma unroll
      for (int step = 0; step < stepsAtOnce; step++) {
        SplitA x;
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float2 both = *reinterpret_cast<const float2*>(before + place(i, 16 * (first + step)));
          x.set(i, both.x, both.y);
        }
        MmaB2 high, rest;
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float2 both = pairs[step][i];
          high.x[i] = pack(both.x, both.y);
          rest.x[i] = pack(both.x - lowHalf(high.x[i]), both.y - highHalf(high.x[i]));
        }
        mma(low[0], low[1], x.low, high);
        mma(mixed[0], mixed[1], x.high, rest);
        mma(sum[0], sum[1], x.high, high);
      }
    }
#pragma unroll
    for (int i = 0; i < 8; i++) sum[i / 4][i % 4] += low[i / 4][i % 4] + mixed[i / 4][i % 4];
  }

  __device__ const float* factor(int g) const {
    return segments.factors + (g * segments.heads + bh) * K * K;
  }

  /// Contracted numbers from 16 `first` on; what lies outside is zero.
  __device__ void load(Pairs& pairs, int g, int first) const {
    const float* const from = factor(g);
#pragma unroll
    for (int step = 0; step < stepsAtOnce; step++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int k = 16 * (first + step) + at.pairOf + 8 * (i & 1), n = column0 + at.group + 8 * (i >> 1);
        float2 both = make_float2(0.0f, 0.0f);
        if (k < K && n < K)  // K is even
          both = against ? *reinterpret_cast<const float2*>(from + n * K + k)
                         : make_float2(from[k * K + n], from[(k + 1) * K + n]);
        pairs[step][i] = both;
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

template <int KP>
__global__ void __launch_bounds__(Fold<KP, false>::threads)
    composeKernel(const DeltaFoldInputs segments, int tiles, float* state, float* factor) {
  __shared__ float shared[Fold<KP, false>::bytes / sizeof(float)];
  Fold<KP, false>(segments, shared, tiles).compose(state, factor);
}

template <int KP>
__global__ void __launch_bounds__(Fold<KP, false>::threads)
    enterKernel(const DeltaFoldInputs segments, int tiles, const float* incoming, float* entering) {
  __shared__ float shared[Fold<KP, false>::bytes / sizeof(float)];
  Fold<KP, false>(segments, shared, tiles).enter(incoming, entering);
}

template <int KP>
__global__ void __launch_bounds__(Fold<KP, true>::threads)
    leaveKernel(const DeltaFoldInputs segments, int tiles, const float* outgoing, float* behind,
                float* before) {
  __shared__ float shared[Fold<KP, true>::bytes / sizeof(float)];
  Fold<KP, true>(segments, shared, tiles).leave(outgoing, behind, before);
}

/// Calls run(constant) with the number of columns that kernels have for heads of K channels.
template <typename Run>
cudaError_t withColumns(int K, Run&& run) {
  if (K <= 64)
    run(std::integral_constant<int, 64>());
  else if (K <= 128)
    run(std::integral_constant<int, 128>());
  else
    run(std::integral_constant<int, 256>());
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
  const auto blocks = static_cast<unsigned>(segments.heads * tiles);
  return withColumns(segments.K, [&](auto KP) {
    composeKernel<KP><<<blocks, Fold<KP, false>::threads, 0, stream>>>(segments, tiles, state, factor);
  });
}

cudaError_t launchDeltaEnter(const DeltaFoldInputs& segments, const float* incoming, float* entering,
                             cudaStream_t stream) {
  const int tiles = tilesOf(segments.V);
  const auto blocks = static_cast<unsigned>(segments.heads * tiles);
  return withColumns(segments.K, [&](auto KP) {
    enterKernel<KP><<<blocks, Fold<KP, false>::threads, 0, stream>>>(segments, tiles, incoming, entering);
  });
}

cudaError_t launchDeltaLeave(const DeltaFoldInputs& segments, const float* outgoing, float* behind,
                             float* before, cudaStream_t stream) {
  const int tiles = tilesOf(segments.V);
  const auto blocks = static_cast<unsigned>(segments.heads * tiles);
  return withColumns(segments.K, [&](auto KP) {
    leaveKernel<KP>
        <<<blocks, Fold<KP, true>::threads, 0, stream>>>(segments, tiles, outgoing, behind, before);
  });
}

cudaError_t launchDeltaResets(const int32_t* starts, int64_t B, int H, int numSegments, float* reset,
                              cudaStream_t stream) {
  resetsKernel<<<static_cast<unsigned>((B + 127) / 128), 128, 0, stream>>>(starts, B, H, numSegments, reset);
  return cudaGetLastError();
}

}  // namespace longscan
