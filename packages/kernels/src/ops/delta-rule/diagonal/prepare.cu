#include "../chunkwise/prepare_tasks.cuh"
#include "cuda/dependent.cuh"
#include "panels.cuh"

namespace longscan {

namespace {

/// One of two warpgroups that prepare a chunk of a head, piece by piece: the first one has queries and
/// values, the second one erase keys and the inverse.
template <bool ofQueries>
class DiagonalPrepare : DiagonalPanels<ofQueries> {
  using Panels = DiagonalPanels<ofQueries>;
  using Panels::addPanel, Panels::base, Panels::batch, Panels::call, Panels::chunk, Panels::eraseKeys,
      Panels::first, Panels::floats, Panels::has, Panels::high, Panels::index, Panels::loadBeta, Panels::low,
      Panels::meet, Panels::meetWarpgroup, Panels::ofWarpgroup, Panels::placeOf, Panels::row0, Panels::span,
      Panels::tile;
  using typename Panels::Layout;

 public:
  using Panels::barriers, Panels::Panels;

  __device__ void run() {
    span = 0;
    for (bool closed = false; !closed;) {
      const Piece piece =
          pieceFrom(call.resets ? call.resets + batch() * call.T : nullptr, call.T, chunk(), high());
      closed = piece.closesChunk;
      span = Panels::spanOf(piece.low, piece.high);
      loadBeta();
      Sums scores;  // of queries with keys, or of erase keys
      clear(scores);
#pragma unroll 1
      for (int channel = 0; channel < call.K; channel += 64) addPanel(scores, channel);
      if (ofQueries) {
        fillValues(0);
        storeScores(scores);
      } else {
        makeInverse(scores);
      }
      publishToProducts();
      meet();
      if (ofQueries)
        multiplyValues();
      else
        multiplyKeys();
      meet();
    }
    if (ofQueries && call.to.prepared != nullptr && threadAnew() == 0) countPart(call.to.prepared + index);
  }

 private:
  __device__ void storeScores(Sums& scores) const {
    const DeltaLane at(threadAnew());
    const float* const beta = floats(Layout::beta);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = row0(at) + at.group + 8 * (i / 2), column = 8 * n + at.pairOf + i % 2;
        scores[n][i] = column <= row ? call.scale * beta[column] * scores[n][i] : 0.0f;
      }
    storeRows(scores, call.to.scores, 0, 64);
  }

  __device__ void makeInverse(Sums& products) const {
    const DeltaLane at(threadAnew());
    const int own = at.warp - 4;
    const float* const beta = floats(Layout::beta);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) products[n][i] *= beta[8 * n + at.pairOf + i % 2];
    const UnitLower lower{SplitSquare(base + Layout::square),
                          {floats(Layout::diagonal + own * DiagonalBlock::bytes)},
                          own,
                          at.lane};
    lower.store(products);
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
        *reinterpret_cast<uint4*>(call.to.inverse + (static_cast<int64_t>(index) * tileTokens + row) * 64 +
                                  8 * unit) = loadShared16(tile(Layout::inverse).address(row, unit));
    }
  }

  /// As many values as there is room for.
  __device__ void fillValues(int column) const {
    const __nv_bfloat16* const from = call.v + placeOf(call.V);
#pragma unroll 1
    for (int i = 0; i < Layout::valueTiles && column + 64 * i < call.V; i++)
      fillTile<64, 128>(tile(Layout::values + i * Tile<64>::bytes), from, call.H * call.V, column + 64 * i,
                        call.V, {0, low(), high(), false});
    commitCopies();
  }

  /// W = Y (e^c K).
  __device__ void multiplyKeys() const {
    storeInverse();
#pragma unroll 1
    for (int channel = 0; channel < call.K; channel += 64)
      multiplyPanel(eraseKeys(channel), call.to.w, channel, call.K);
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
    for (int i = 0; i < 2; i++) {
      const int row = row0(at) + at.group + 8 * i;
#pragma unroll
      for (int n = 0; n < 8; n += 4) {
        uint32_t packed[4];
#pragma unroll
        for (int j = 0; j < 4; j++) packed[j] = pack(sum[n + j][2 * i], sum[n + j][2 * i + 1]);
        transposeQuad(packed, at.lane);
        const int column = column0 + 8 * (n + (at.lane & 3));
        if (has(row) && column < width)
          *reinterpret_cast<uint4*>(to + (static_cast<int64_t>(index) * tileTokens + row) * width + column) =
              make_uint4(packed[0], packed[1], packed[2], packed[3]);
      }
    }
  }
};

/// Pairs of warpgroups in a block: on Hopper, and where there is less memory.
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
  const auto meet = [&] { joinBarrier(1 + DiagonalPrepare<true>::barriers * anew(pair), diagonalThreads); };
  if (threadIdx.x == 0) walk().begin(blockIdx.x * blockDim.y + pair);
  meet();
  while (!walk().done()) {
    const int heads = static_cast<int>(call.B) * call.H, task = *walk().task;
    if (warpgroupNumber() == 0)
      DiagonalPrepare<true>(call, own(), pair, task / heads, task % heads).run();
    else
      DiagonalPrepare<false>(call, own(), pair, task / heads, task % heads).run();
    if (threadIdx.x == 0) walk().advance(gridDim.x * blockDim.y);
    meet();
  }
}

/// What a chunk takes a block of the sweep, in what it takes a multiprocessor here (one H200, K = V = 128).
constexpr float timeRatio = 0.2f;

}  // namespace

cudaError_t launchDeltaDiagonalPrepare(const DeltaDiagonalPrepareCall& call, const DeltaDevice& device,
                                       cudaStream_t stream) {
  const int ofPair = DiagonalPrepareLayout::bytes(call.K);
  const int pairs = min(device.sharesTime ? maxPairs : fewerPairs, device.sharedBytes / ofPair);
  const int bytes = pairs * ofPair;
  cudaError_t error =
      cudaFuncSetAttribute(diagonalPrepareKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
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
