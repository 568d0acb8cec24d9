#include "cuda_lane.cuh"
#include "cuda_split.cuh"
#include "cuda_summary_fold.h"

namespace longscan {

namespace {

constexpr int foldRows = 16, columnsPerWarp = 16;
/// M^T of the segments is loaded ahead by so many slices of 16 rows.
constexpr int slicesAhead = 8;

/// A block's rows of 16 numbers or more in shared memory; the pad spreads the rows of a fragment over the
/// banks.
__host__ __device__ constexpr int foldPitch(int K) {
  return (K + 15) / 16 * 16 + 4;
}
__host__ __device__ constexpr int foldBytes(int K) {
  return (2 * foldRows + slicesAhead * 16) * foldPitch(K) * static_cast<int>(sizeof(float));
}

/// Sixteen rows of E or M^T through the segments, in a block; a warp has 16 columns of them.
class Fold {
  const DeltaFoldInputs& segments;
  float* const shared;  // the rows, twice [16, pitch] in turns; then the ring of slices [16, pitch]
  const DeltaLane at;
  const int K, pitch, numSlices, tilesOfState, tile, column0;
  const bool isFactor;
  const int row0, rows;
  const int64_t bh;
  int first = 0;      // the first segment that is passed
  int passed = 0;     // slices
  int numWanted = 0;  // slices in all
  // A thread's part of the rows and of the next segment's E, as of two accumulators side by side; whether a
  // document starts in that segment.
  float sum[2][4], entered[2][4];
  bool starts;

 public:
  __device__ Fold(const DeltaFoldInputs& segments, float* shared, int tiles)
      : segments(segments),
        shared(shared),
        K(segments.K),
        pitch(foldPitch(K)),
        numSlices((K + 15) / 16),
        tilesOfState((segments.V + foldRows - 1) / foldRows),
        tile(static_cast<int>(blockIdx.x % tiles)),
        column0(columnsPerWarp * at.warp),
        isFactor(tile >= tilesOfState),
        row0(foldRows * (isFactor ? tile - tilesOfState : tile)),
        rows(isFactor ? K : segments.V),
        bh(blockIdx.x / tiles) {}

  __device__ void compose(float* state, float* factor) {
    begin(1, segments.numSegments);
    take(sum, own(0));
    for (int g = 1; g < segments.numSegments; g++) pass(g, false);
    store((isFactor ? factor : state) + bh * rows * K);
  }

  __device__ void enter(const float* incoming, float* entering) {
    begin(0, segments.numSegments - 1);
    take(sum, incoming == nullptr ? nullptr : incoming + bh * rows * K);
    for (int g = 0;; g++) {
      store(entering + (g * segments.heads + bh) * rows * K);
      if (g + 1 == segments.numSegments) return;
      pass(g, g == 0 && incoming == nullptr);
    }
  }

 private:
  /// Starts to load what segments [first, end) do.
  __device__ void begin(int from, int end) {
    first = from;
    numWanted = (end - from) * numSlices;
    for (int slice = 0; slice < slicesAhead - 1; slice++) load(slice);
    takeNext(from);
  }

  /// Through segment g: times its M^T, and its E is added.
  __device__ void pass(int g, bool isZero) {
    float* const before = shared + g % 2 * foldRows * pitch;
#pragma unroll
    for (int i = 0; i < 4; i++)
      *reinterpret_cast<float2*>(before + place(i, column0)) =
          make_float2(sum[i >> 1][2 * (i & 1)], sum[i >> 1][2 * (i & 1) + 1]);
#pragma unroll
    for (int i = 0; i < 8; i++) sum[i / 4][i % 4] = entered[i / 4][i % 4];
    const bool forgets = isZero || starts;
    if (passed + numSlices < numWanted) takeNext(g + 1);
    for (int slice = 0; slice < numSlices; slice++, passed++) {
      waitForCopies<slicesAhead - 2>();
      __syncthreads();
      load(passed + slicesAhead - 1);
      if (!forgets) multiply(before, slice, sliceAt(passed));
    }
  }

  __device__ void takeNext(int g) {
    take(entered, isFactor ? nullptr : own(g));
    starts = segments.starts[g * segments.heads + bh] != 0;
  }

  /// 16 of the contracted numbers; products of two bf16 terms each, but for that of the small ones.
  __device__ void multiply(const float* before, int slice, const float* factor) {
    SplitA x;
    MmaB2 high, low;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 both = *reinterpret_cast<const float2*>(before + place(i, 16 * slice));
      x.set(i, both.x, both.y);
      const float* const f = factor + (at.pairOf + 8 * (i & 1)) * pitch + column0 + at.group + 8 * (i >> 1);
      const float near = f[0], far = f[pitch];
      high.x[i] = pack(near, far);
      low.x[i] = pack(near - lowHalf(high.x[i]), far - highHalf(high.x[i]));
    }
    mma(sum[0], sum[1], x.low, high);
    mma(sum[0], sum[1], x.high, low);
    mma(sum[0], sum[1], x.high, high);
  }

  __device__ float* sliceAt(int slice) const {
    return shared + (2 * foldRows + slice % slicesAhead * 16) * pitch;
  }

  /// Starts to load a slice, if it is wanted; what is not there becomes zeros.
  __device__ void load(int slice) const {
    if (slice < numWanted) {
      const int g = first + slice / numSlices, k0 = slice % numSlices * 16, units = numSlices * 4;
      const float* const from = segments.factors + (g * segments.heads + bh) * K * K;
      const uint32_t to = sharedAddress(sliceAt(slice));
      for (int i = threadIdx.x; i < 16 * units; i += blockDim.x) {
        const int row = i / units, column = i % units * 4;
        copyAsync16(to + (row * pitch + column) * 4, from + (k0 + row) * K + column,
                    k0 + row < K && column < K);
      }
    }
    commitCopies();
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
  __device__ void each(float (&numbers)[2][4], Visit&& visit) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = row0 + at.group + 8 * (i & 1), column = column0 + at.pairOf + 8 * (i >> 1);
      visit(row < rows && column < K ? row * K + column : -1, numbers[i >> 1][2 * (i & 1)],
            numbers[i >> 1][2 * (i & 1) + 1]);
    }
  }

  /// Null: zeros.
  __device__ void take(float (&numbers)[2][4], const float* from) const {
    each(numbers, [&](int at, float& near, float& far) {
      const float2 both =
          at < 0 || from == nullptr ? make_float2(0.0f, 0.0f) : *reinterpret_cast<const float2*>(from + at);
      near = both.x;
      far = both.y;
    });
  }
  __device__ void store(float* to) {
    each(sum, [&](int at, float near, float far) {
      if (at >= 0) *reinterpret_cast<float2*>(to + at) = make_float2(near, far);
    });
  }
};

__host__ __device__ int tilesOf(int rows) {
  return (rows + foldRows - 1) / foldRows;
}

__global__ void __launch_bounds__(512)
    composeKernel(const DeltaFoldInputs segments, float* state, float* factor) {
  extern __shared__ __align__(16) float shared[];
  Fold(segments, shared, tilesOf(segments.V) + tilesOf(segments.K)).compose(state, factor);
}

__global__ void __launch_bounds__(512)
    enterKernel(const DeltaFoldInputs segments, const float* incoming, float* entering) {
  extern __shared__ __align__(16) float shared[];
  Fold(segments, shared, tilesOf(segments.V)).enter(incoming, entering);
}

template <typename... Arguments>
cudaError_t launch(void (*kernel)(DeltaFoldInputs, Arguments...), const DeltaFoldInputs& segments, int tiles,
                   cudaStream_t stream, Arguments... arguments) {
  const int columns = (segments.K + columnsPerWarp - 1) / columnsPerWarp, bytes = foldBytes(segments.K);
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
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

cudaError_t launchDeltaResets(const int32_t* starts, int64_t B, int H, int numSegments, float* reset,
                              cudaStream_t stream) {
  resetsKernel<<<static_cast<unsigned>((B + 127) / 128), 128, 0, stream>>>(starts, B, H, numSegments, reset);
  return cudaGetLastError();
}

}  // namespace longscan
