#include "cuda_lane.cuh"
#include "cuda_split.cuh"
#include "cuda_summary_fold.h"

namespace longscan {

namespace {

constexpr int foldRows = 16, columnsPerWarp = 16;
/// M^T of the segments is loaded ahead by so many slices of 16 contracted numbers: of rows, or against time
/// of columns.
constexpr int slicesAhead = 8;

/// A block's rows of 16 numbers or more in shared memory; the pad spreads the rows of a fragment over the
/// banks.
__host__ __device__ constexpr int foldPitch(int K) {
  return (K + 15) / 16 * 16 + 4;
}
constexpr int columnsPitch = 16 + 4;
__host__ __device__ constexpr int sliceSize(int K) {
  const int rows = 16 * foldPitch(K), columns = (K + 15) / 16 * 16 * columnsPitch;
  return rows > columns ? rows : columns;
}
__host__ __device__ constexpr int foldBytes(int K) {
  return (2 * foldRows * foldPitch(K) + slicesAhead * sliceSize(K)) * static_cast<int>(sizeof(float));
}

/// Sixteen rows of E or M^T through the segments, or of D against time, in a block; a warp has 16 columns of
/// them.
template <bool against>
class Fold {
  const DeltaFoldInputs& segments;
  float* const shared;  // the rows, twice [16, pitch] in turns; then the ring of slices
  const DeltaLane at;
  const int K, pitch, numSlices, tilesOfState, tile, column0;
  const bool isFactor;
  const int row0, rows;
  const int64_t bh;
  int first = 0;      // the segment that is passed first
  int passed = 0;     // slices
  int numWanted = 0;  // slices in all
  // As of two accumulators side by side, a thread's part of the rows.
  using Sums = float[2][4];
  Sums sum;
  // What the next segment has of its own, and whether a document starts in it.
  Sums entered;
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
    begin(1, segments.numSegments - 1);
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

  __device__ void leave(const float* outgoing, float* behind, float* before) {
    const int last = segments.numSegments - 1;
    begin(last, before == nullptr ? last : last + 1);
    take(sum, outgoing == nullptr ? nullptr : outgoing + bh * rows * K);
    for (int g = last; g >= 0; g--) {
      if (g < last && behind != nullptr) store(behind + (g * segments.heads + bh) * rows * K);
      if (g == 0 && before == nullptr) return;
      pass(g, g == last && outgoing == nullptr);
    }
    store(before + bh * rows * K);
  }

 private:
  /// Starts to load what `count` segments do, from `from` on.
  __device__ void begin(int from, int count) {
    first = from;
    numWanted = count * numSlices;
    for (int slice = 0; slice < slicesAhead - 1; slice++) load(slice);
    takeNext(from);
  }

  /// Through segment g: times its M^T, against time its M, and what it has of its own is added.
  __device__ void pass(int g, bool isZero) {
    float* const before = shared + g % 2 * foldRows * pitch;
#pragma unroll
    for (int i = 0; i < 4; i++)
      *reinterpret_cast<float2*>(before + place(i, column0)) =
          make_float2(sum[i >> 1][2 * (i & 1)], sum[i >> 1][2 * (i & 1) + 1]);
#pragma unroll
    for (int i = 0; i < 8; i++) sum[i / 4][i % 4] = entered[i / 4][i % 4];
    const bool forgets = isZero || starts;
    if (passed + numSlices < numWanted) takeNext(against ? g - 1 : g + 1);
    Sums sums[3] = {};
    for (int slice = 0; slice < numSlices; slice++, passed++) {
      waitForCopies<slicesAhead - 2>();
      __syncthreads();
      load(passed + slicesAhead - 1);
      multiply(sums, before, slice, sliceAt(passed));
    }
    if (forgets) return;
#pragma unroll
    for (int i = 0; i < 8; i++)
      sum[i / 4][i % 4] += sums[0][i / 4][i % 4] + (sums[1][i / 4][i % 4] + sums[2][i / 4][i % 4]);
  }

  __device__ void takeNext(int g) {
    take(entered, isFactor ? nullptr : own(g));
    starts = segments.starts[g * segments.heads + bh] != 0;
  }

  /// 16 of the contracted numbers; both factors in two bf16 terms, but for the product of the small ones.
  __device__ void multiply(Sums (&sums)[3], const float* before, int slice, const float* factor) const {
    SplitA x;
    MmaB2 high, low;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 both = *reinterpret_cast<const float2*>(before + place(i, 16 * slice));
      x.set(i, both.x, both.y);
      const int k = at.pairOf + 8 * (i & 1), n = column0 + at.group + 8 * (i >> 1);
      const float2 f = against ? *reinterpret_cast<const float2*>(factor + n * columnsPitch + k)
                               : make_float2(factor[k * pitch + n], factor[(k + 1) * pitch + n]);
      high.x[i] = pack(f.x, f.y);
      low.x[i] = pack(f.x - lowHalf(high.x[i]), f.y - highHalf(high.x[i]));
    }
    mma(sums[0][0], sums[0][1], x.high, high);
    mma(sums[1][0], sums[1][1], x.low, high);
    mma(sums[2][0], sums[2][1], x.high, low);
  }

  __device__ float* sliceAt(int slice) const {
    return shared + 2 * foldRows * pitch + slice % slicesAhead * sliceSize(K);
  }

  /// Starts to load a slice, if it is wanted; what is not there becomes zeros.
  __device__ void load(int slice) const {
    if (slice < numWanted) {
      const int passing = slice / numSlices, g = against ? first - passing : first + passing;
      const int k0 = slice % numSlices * 16;
      const float* const from = segments.factors + (g * segments.heads + bh) * K * K;
      const uint32_t to = sharedAddress(sliceAt(slice));
      for (int i = threadIdx.x; i < 64 * numSlices; i += blockDim.x) {
        const int row = against ? i / 4 : k0 + i / (4 * numSlices);
        const int column = against ? k0 + i % 4 * 4 : i % (4 * numSlices) * 4;
        const int place = against ? row * columnsPitch + column - k0 : (row - k0) * pitch + column;
        copyAsync16(to + 4 * place, from + row * K + column, row < K && column < K);
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
  __device__ void each(Sums& numbers, Visit&& visit) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = row0 + at.group + 8 * (i & 1), column = column0 + at.pairOf + 8 * (i >> 1);
      visit(row < rows && column < K ? row * K + column : -1, numbers[i >> 1][2 * (i & 1)],
            numbers[i >> 1][2 * (i & 1) + 1]);
    }
  }

  /// Null: zeros.
  __device__ void take(Sums& numbers, const float* from) const {
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
  Fold<false>(segments, shared, tilesOf(segments.V) + tilesOf(segments.K)).compose(state, factor);
}

__global__ void __launch_bounds__(512)
    enterKernel(const DeltaFoldInputs segments, const float* incoming, float* entering) {
  extern __shared__ __align__(16) float shared[];
  Fold<false>(segments, shared, tilesOf(segments.V)).enter(incoming, entering);
}

__global__ void __launch_bounds__(512)
    leaveKernel(const DeltaFoldInputs segments, const float* outgoing, float* behind, float* before) {
  extern __shared__ __align__(16) float shared[];
  Fold<true>(segments, shared, tilesOf(segments.V)).leave(outgoing, behind, before);
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
