#include <array>
#include <atomic>

#include "../chunkwise/prepare_tasks.cuh"
#include "cuda/dependent.cuh"
#include "scores.cuh"

namespace longscan {

namespace {

/// Two warpgroups that prepare a chunk of a head, piece by piece. What scores leave, each has a part of: the
/// first one values, the second one the inverse and erase keys.
class DiagonalPrepare : DiagonalScores {
 public:
  using DiagonalPanels::meet;
  using DiagonalScores::DiagonalScores;

  __device__ void run() {
    span = 0;
    do {
      span = spanOf(pieceFrom(call.resets ? call.resets + place().batch * call.T : nullptr, call.T,
                              place().chunk, high()));
      loadBeta();
      Sums scores;  // of queries and erase keys with keys
      clear(scores);
#pragma unroll 1
      for (int channel = 0; channel < call.K; channel += 64 * Layout::panels) addPanels(scores, channel);
      if (warpgroupNumber() == 0) fillValues(0);
      shareScores(scores);
      meet();
      if (warpgroupNumber() == 1) makeInverse();
      publishToProducts();
      meet();
      if (warpgroupNumber() == 0)
        multiplyValues();
      else
        multiplyKeys();
      meet();
    } while (!closesChunk());
    if (call.to.prepared != nullptr && threadAnew() == 0) countPart(call.to.prepared + place().index);
  }

 private:
  /// A warp's rows of P to memory, those of A to where it is inverted.
  __device__ void shareScores(Sums& scores) const {
    const DeltaLane at(threadAnew());
    const int token = tokenOf(at), sub = at.warp / 2;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const int column = 8 * n + at.pairOf;
      const float2 beta = *reinterpret_cast<const float2*>(floats(Layout::beta) + column);
      scores[n][0] = column <= token ? call.scale * beta.x * scores[n][0] : 0.0f;
      scores[n][1] = column + 1 <= token ? call.scale * beta.y * scores[n][1] : 0.0f;
      scores[n][2] *= beta.x;
      scores[n][3] *= beta.y;
    }
    storeRow(scores, 0, token, call.to.scores, 0, 64);
    // Of blocks left of the diagonal two terms: four matrices of eight rows.
    const SplitSquare square(base + Layout::square);
    const int row = firstOf(at) + orderOf(at.lane % 8);
    const Tile<64> term = at.lane < 16 ? square.high : square.low;
#pragma unroll
    for (int n = 0; n < 8; n += 2) {
      if (n / 2 < sub) {
        SplitA a;
        a.set(0, scores[n][2], scores[n][3]);
        a.set(1, scores[n + 1][2], scores[n + 1][3]);
        storeMatrices(term.address(row, n + at.lane / 8 % 2),
                      {a.high.x[0], a.high.x[1], a.low.x[0], a.low.x[1]}, at.lane);
      } else if (n / 2 == sub) {
        float* const to = floats(Layout::diagonal + sub * DiagonalBlock::bytes) + token % 16 * 16 + at.pairOf;
        *reinterpret_cast<float2*>(to) = make_float2(scores[n][2], scores[n][3]);
        *reinterpret_cast<float2*>(to + 8) = make_float2(scores[n + 1][2], scores[n + 1][3]);
      }
    }
  }

  __device__ void makeInverse() const {
    const DeltaLane at(threadAnew());
    const int own = at.warp - 4;
    const UnitLower lower{SplitSquare(base + Layout::square),
                          {floats(Layout::diagonal + own * DiagonalBlock::bytes)},
                          own,
                          at.lane};
#pragma unroll
    for (int row = 0; row < 3; row++)
      if (row < own) storeOperandA(tile(Layout::inverse), 16 * row, own, {}, at.lane);
    lower.invert(ofWarpgroup(), [&](int i, const SplitA& block) {
      storeATransposed(tile(Layout::inverse), 16 * (own + i), 16 * own, block.high, at.lane);
    });
  }

  __device__ void storeInverse() const {
    const int thread = threadAnew() % 128, unit = thread % 8;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = 16 * i + thread / 8;
      if (has(row))
        *reinterpret_cast<uint4*>(call.to.inverse + (firstRow() + row) * 64 + 8 * unit) =
            loadShared16(tile(Layout::inverse).address(row, unit));
    }
  }

  /// As many values as there is room for.
  __device__ void fillValues(int column) const {
    const int thread = threadAnew(), unit = thread % 8;
    const int64_t place = placeOf(call.V);
#pragma unroll 1
    for (int i = 0; i < Layout::valueTiles && column < call.V; i++, column += 64) {
      const Tile<64> to = tile(Layout::values + i * Tile<64>::bytes);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int row = thread / 8 + 16 * j, own = column + 8 * unit;
        copyAsync16(to.address(row, unit), call.v + place + row * call.H * call.V + own,
                    has(row) && own < call.V);
      }
    }
    commitCopies();
  }

  /// W = Y (e^c K).
  __device__ void multiplyKeys() const {
    storeInverse();
#pragma unroll 1
    for (int channel = 0; channel < call.K; channel += 64)
      multiplyPanel(K(channel), call.to.w, channel, call.K);
  }

  /// U = Y V.
  __device__ void multiplyValues() const {
    constexpr int atOnce = 64 * Layout::valueTiles;
#pragma unroll 1
    for (int first = 0; first < call.V; first += atOnce) {
      if (first > 0) {
        meetWarpgroup();
        fillValues(first);
      }
      waitForCopies<0>();
      publishToProducts();
      meetWarpgroup();
#pragma unroll 1
      for (int i = 0; i < Layout::valueTiles && first + 64 * i < call.V; i++)
        multiplyPanel(tile(Layout::values + i * Tile<64>::bytes), call.to.u, first + 64 * i, call.V);
    }
  }

  /// 64 columns of the product with the inverse to [rows, width].
  __device__ void multiplyPanel(Tile<64> panel, __nv_bfloat16* to, int column0, int width) const {
    const Tile<64> inverse{anew(base + Layout::inverse)};
    Sums sum;
    clear(sum);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) multiply<StoredB::columns>(sum, inverse, k, panel, k);
    commitProducts();
    waitForProducts<0>();
    storeRows(sum, to, column0, width);
  }

  __device__ void storeRows(const Sums& sum, __nv_bfloat16* to, int column0, int width) const {
    const DeltaLane at(threadAnew());
#pragma unroll
    for (int i = 0; i < 2; i++)
      storeRow(sum, i, subTokens * (at.warp % 4) + at.group + 8 * i, to, column0, width);
  }

  /// Of a thread's two rows of sums that of number `i`; threads of a row together.
  __device__ void storeRow(const Sums& sum, int i, int row, __nv_bfloat16* to, int column0, int width) const {
    const int lane = threadAnew() % 32;
#pragma unroll
    for (int n = 0; n < 8; n += 4) {
      uint32_t packed[4];
#pragma unroll
      for (int j = 0; j < 4; j++) packed[j] = pack(sum[n + j][2 * i], sum[n + j][2 * i + 1]);
      transposeQuad(packed, lane);
      const int column = column0 + 8 * (n + (lane & 3));
      if (has(row) && column < width)
        *reinterpret_cast<uint4*>(to + (firstRow() + row) * width + column) =
            make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
  }
};

/// Pairs of warpgroups in a block at most: in code for Hopper, and in other code.
constexpr int maxPairs = 3, fewerPairs = 2;

__global__ void __launch_bounds__(diagonalThreads*(LONGSCAN_WGMMA ? maxPairs : fewerPairs), 1)
    diagonalPrepareKernel(const __grid_constant__ DeltaDiagonalPrepareCall call,
                          const __grid_constant__ DeltaPrepareTasks tasks) {
  extern __shared__ __align__(1024) unsigned char shared[];
  letNextKernelBegin();
  const int pair = __shfl_sync(~0u, static_cast<int>(threadIdx.y), 0);
  const auto own = [&] { return shared + anew(pair) * DiagonalPrepareLayout::bytes(call.K); };
  const auto walk = [&] {
    return PrepareWalk{tasks, reinterpret_cast<int*>(own() + DiagonalPrepareLayout::task)};
  };
  const auto place = [&] {
    if (!walk().done())
      *reinterpret_cast<DiagonalPlace*>(own() + DiagonalPrepareLayout::place) =
          DiagonalPlace::of(call, *walk().task);
  };
  if (threadAnew() == 0) {
    walk().begin(blockIdx.x * blockDim.y + pair);
    place();
  }
  DiagonalPrepare::meet();
  while (!walk().done()) {
    DiagonalPrepare(call, own()).run();
    if (threadAnew() == 0) {
      walk().advance(gridDim.x * blockDim.y);
      place();
    }
    DiagonalPrepare::meet();
  }
}

/// As many pairs as the code for the current device was compiled for, which each of the first devices is
/// asked once.
cudaError_t compiledPairs(int& pairs) {
  static std::array<std::atomic<int>, 64> known{};  // zero: not asked yet
  int number = 0;
  cudaError_t error = cudaGetDevice(&number);
  if (error != cudaSuccess) return error;
  const bool isKept = number < static_cast<int>(known.size());
  if (isKept && (pairs = known[number].load(std::memory_order_relaxed)) > 0) return cudaSuccess;
  cudaFuncAttributes built;
  if ((error = cudaFuncGetAttributes(&built, diagonalPrepareKernel)) != cudaSuccess) return error;
  pairs = built.maxThreadsPerBlock / diagonalThreads;
  if (isKept) known[number].store(pairs, std::memory_order_relaxed);
  return cudaSuccess;
}

/// What a chunk takes a block of the sweep, in what it takes a multiprocessor here (one H200, K = V = 128).
constexpr float timeRatio = 0.2f;

}  // namespace

cudaError_t launchDeltaDiagonalPrepare(const DeltaDiagonalPrepareCall& call, const DeltaDevice& device,
                                       cudaStream_t stream) {
  const int ofPair = DiagonalPrepareLayout::bytes(call.K);
  int compiled = 0;
  cudaError_t error = compiledPairs(compiled);
  if (error != cudaSuccess) return error;
  const int pairs = min(compiled, device.sharedBytes / ofPair);
  const int bytes = pairs * ofPair;
  error = cudaFuncSetAttribute(diagonalPrepareKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t heads = call.B * call.H;
  if ((error = clearDeltaCounts(call.to.prepared, heads, call.T, stream)) != cudaSuccess) return error;
  const int64_t chunks = (call.T + tileTokens - 1) / tileTokens * heads;
  const int blocks =
      static_cast<int>(min((chunks + pairs - 1) / pairs, static_cast<int64_t>(device.multiprocessors)));
  const DeltaPrepareTasks tasks =
      prepareTasks(device, heads, call.T, call.K, call.V, call.to.prepared, blocks, timeRatio);
  diagonalPrepareKernel<<<blocks, dim3(diagonalThreads, pairs), bytes, stream>>>(call, tasks);
  return cudaGetLastError();
}

}  // namespace longscan
