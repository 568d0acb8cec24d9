#include "cuda/dependent.cuh"
#include "cuda/warpgroup_wide.cuh"
#include "inverse.cuh"
#include "lane.cuh"
#include "prepare.h"
#include "prepare_tasks.cuh"

namespace longscan {

namespace {

/// Of a warpgroup, which has chunks of its own. A block has as many of them as its memory is enough for.
constexpr int prepareThreads = 128;
constexpr int maxGroups = 4;

template <int KP>
struct PrepareLayout {
  static constexpr int keys = Tile<KP>::bytes;
  static constexpr int square = keys + Tile<KP>::bytes;
  static constexpr int diagonal = square + SplitSquare::bytes;
  static constexpr int gates = diagonal + 4 * DiagonalBlock::bytes;
  static constexpr int sums = gates + 64 * 4;
  static constexpr int beta = sums + 4 * 64 * 4;
  static constexpr int task = beta + 64 * 4;
  static constexpr int bytes = (task + 4 + 1023) / 1024 * 1024;  // as products of a warpgroup take tiles
};

/// Rows [16 stripe, 16 stripe + 16) of X Y^T times factorOf(row, column), columns up to the diagonal block;
/// the rest is undefined.
template <int KP, typename FactorOf>
__device__ void multiplyRows(Sums& sum, Tile<KP> X, Tile<KP> Y, int stripe, const DeltaLane& at,
                             FactorOf&& factorOf) {
  clear(sum);
#pragma unroll 2
  for (int k = 0; k < KP / 16; k++) {
    const MmaA x = loadA(X, 16 * stripe, 16 * k, at.lane);
#pragma unroll
    for (int n = 0; n < 4; n++)
      if (n <= stripe) mma(sum[2 * n], sum[2 * n + 1], x, loadBTransposed(Y, 16 * n, 16 * k, at.lane));
  }
#pragma unroll
  for (int n = 0; n < 8; n++) {
    if (n / 2 > stripe) break;
#pragma unroll
    for (int i = 0; i < 4; i++)
      sum[n][i] *= factorOf(16 * stripe + at.group + 8 * (i / 2), 8 * n + at.pairOf + i % 2);
  }
}

/// A warp's 16 rows, as first operands over 64 columns, to rows of 64 in global memory.
__device__ void storeRows(const MmaA (&rows)[4], __nv_bfloat16* to, const Piece& piece, const DeltaLane& at) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = 16 * at.warp + at.group + 8 * i;
#pragma unroll
    for (int n = 0; n < 4; n += 2) {
      uint32_t packed[4] = {rows[n].x[i], rows[n].x[i + 2], rows[n + 1].x[i], rows[n + 1].x[i + 2]};
      transposeQuad(packed, at.lane);
      if (row >= piece.low && row < piece.high)
        *reinterpret_cast<uint4*>(to + row * 64 + 16 * n + 8 * (at.lane & 3)) =
            make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
  }
}

/// A warp's rows of Y, whose transpose is above the diagonal of the square, each column times its factor, as
/// first operands over tokens [16 k, 16 k + 16).
template <typename FactorOf>
__device__ inline void loadInverse(MmaA (&y)[4], SplitSquare transposed, const DeltaLane& at,
                                   FactorOf&& factorOf) {
#pragma unroll
  for (int k = 0; k < 4; k++) {
    y[k] = {};
    if (k > at.warp) continue;
    const SplitA split = transposed.loadTransposed(k, at.warp, at.lane);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int column = 16 * k + at.pairOf + 8 * (i >> 1);
      const uint32_t high = split.high.x[i], low = split.low.x[i];
      y[k].x[i] = pack((lowHalf(high) + lowHalf(low)) * factorOf(column),
                       (highHalf(high) + highHalf(low)) * factorOf(column + 1));
    }
    if (k == at.warp) keepLower(y[k], at.lane);
  }
}

/// Whether W and U are products of a warpgroup. With more keys that makes no difference.
template <int KP>
constexpr bool multipliesTogether = KP == 64 && LONGSCAN_WGMMA;

/// sum [columns / 8]: a warp's 16 rows of Y X, X in shared memory, of `columns` from `column0` on.
template <int KP, int columns>
__device__ void multiplyInverse(float (&sum)[columns / 8][4], const MmaA (&y)[4], Tile<KP> X, int column0,
                                const DeltaLane& at) {
  if constexpr (multipliesTogether<KP>) {
    static_assert(columns == KP);
    beginProducts();
    multiply<StoredB::columns, false>(sum, y[0], X, 0);
#pragma unroll
    for (int k = 1; k < 4; k++) multiply<StoredB::columns>(sum, y[k], X, k);
    commitProducts();
    waitForProducts<0>();
    settle(sum);
  } else {
    clear(sum);
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (k <= at.warp)
#pragma unroll
        for (int n = 0; n < columns / 8; n += 2)
          mma(sum[n], sum[n + 1], y[k], loadB(X, 16 * k, column0 + 8 * n, at.lane));
  }
}

/// The product to rows of bf16 memory of which `width` columns are there.
template <int KP>
__device__ void storeProduct(const MmaA (&y)[4], Tile<KP> X, __nv_bfloat16* to, int pitch, int width,
                             const Piece& piece, const DeltaLane& at) {
  constexpr int columns = KP == 64 ? 64 : 32;
#pragma unroll 2
  for (int column0 = 0; column0 < KP; column0 += columns) {
    if (column0 >= width) break;
    float sum[columns / 8][4];
    multiplyInverse<KP, columns>(sum, y, X, column0, at);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int n = 0; n < columns / 8; n += 4) {
        uint32_t packed[4];
#pragma unroll
        for (int j = 0; j < 4; j++) packed[j] = pack(sum[n + j][2 * i], sum[n + j][2 * i + 1]);
        transposeQuad(packed, at.lane);
        const int row = 16 * at.warp + at.group + 8 * i, column = column0 + 8 * (n + (at.lane & 3));
        if (row >= piece.low && row < piece.high && column < width)
          *reinterpret_cast<uint4*>(to + static_cast<int64_t>(row) * pitch + column) =
              make_uint4(packed[0], packed[1], packed[2], packed[3]);
      }
  }
}

/// Beside a sweep, which waits for the first chunks, the warpgroups of a block begin one after the other: of
/// those that begin together, each is as late as the last one.
class Turn {
  static constexpr int barrier = 8, threads = 2 * prepareThreads;
  bool passes;

 public:
  __device__ explicit Turn(bool inTurn) : passes(inTurn && threadIdx.y + 1 < blockDim.y) {
    if (inTurn && threadIdx.y > 0) joinBarrier(barrier + threadIdx.y - 1, threads);
  }
  /// Once; a warpgroup that comes here again has passed it on.
  __device__ void pass() {
    if (passes) announceOrJoinBarrier(barrier + threadIdx.y, threads);
    passes = false;
  }
};

template <int KP, bool hasEraseKeys>
__device__ void prepareChunk(const DeltaPrepareCall& call, unsigned char* shared, int chunk, int bh,
                             Turn& turn) {
  using Layout = PrepareLayout<KP>;
  const Tile<KP> Q{sharedAddress(shared)}, K{sharedAddress(shared + Layout::keys)};
  // Once the queries have been read, values take their place, or keys that erase do and values that of K.
  const Tile<KP> erase = hasEraseKeys ? Q : K, values = hasEraseKeys ? K : Q;
  const SplitSquare square{sharedAddress(shared + Layout::square)};
  float* const gates = reinterpret_cast<float*>(shared + Layout::gates);
  float* const beta = reinterpret_cast<float*>(shared + Layout::beta);
  const DeltaLane at;
  const UnitLower lower{
      square, {reinterpret_cast<float*>(shared + Layout::diagonal) + 256 * at.warp}, at.warp, at.lane};
  float* const sums = reinterpret_cast<float*>(shared + Layout::sums) + 64 * at.warp;

  const int barrier = 1 + threadIdx.y;
  const auto meet = [&] { joinBarrier(barrier, prepareThreads); };
  const int b = bh / call.H, h = bh % call.H;
  const int numChunks = static_cast<int>((call.T + tileTokens - 1) / tileTokens);
  const int pitch = call.H * call.K;
  const int pitchV = call.H * call.V;
  // Of the head, in [B, T, H]; and among all heads' rows.
  const uint32_t firstToken = (b * static_cast<uint32_t>(call.T) + chunk * tileTokens) * call.H + h;
  const uint32_t firstRow = static_cast<uint32_t>(bh * numChunks + chunk) * tileTokens;

  for (int low = 0, closed = false; !closed;) {
    const Piece piece = pieceFrom(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, low);
    low = piece.high;
    closed = piece.closesChunk;
    const TileRows rows{0, piece.low, piece.high, false};
    fillTile<KP, prepareThreads>(Q, call.q + static_cast<int64_t>(firstToken) * call.K, anew(pitch), 0,
                                 call.K, rows);
    fillTile<KP, prepareThreads>(K, call.k + static_cast<int64_t>(firstToken) * call.K, anew(pitch), 0,
                                 call.K, rows);
    commitCopies();
    if (threadIdx.x < 64) {
      const int row = threadIdx.x;
      const int64_t token = firstToken + static_cast<int64_t>(row) * call.H;
      gates[row] = call.g != nullptr && rows.has(row) ? call.g[token] : 0.0f;
      beta[row] = !rows.has(row) ? 0.0f : call.beta ? usableBeta(call.beta[token]) : 1.0f;
    }
    waitForCopies<0>();
    if (multipliesTogether<KP>) publishToProducts();
    meet();
    sumLogGates(gates, sums, at.lane);

    const auto decay = [&](int row, int column) { return beta[column] * exp2Fast(sums[row] - sums[column]); };
    // Up to where a row erases: its own decay counts only where its key erases, from the decayed state.
    const auto beforeErasing = [&](int row) {
      return !hasEraseKeys ? sums[row] : row > 0 ? sums[row - 1] : 0.0f;
    };
    Sums scores;
    multiplyRows(scores, Q, K, at.warp, at,
                 [&](int row, int column) { return call.scale * decay(row, column); });
    meet();
    turn.pass();
    const auto fillValues = [&](int column) {
      fillTile<KP, prepareThreads>(values, call.v + static_cast<int64_t>(firstToken) * call.V, pitchV, column,
                                   call.V, rows);
      commitCopies();
    };
    if constexpr (hasEraseKeys) {
      fillTile<KP, prepareThreads>(erase, call.b + static_cast<int64_t>(firstToken) * call.K, anew(pitch), 0,
                                   call.K, rows);
      commitCopies();
    } else {
      fillValues(0);
    }
    MmaA rounded[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      rounded[k] = k <= at.warp ? operandA(scores, k) : MmaA{};
      if (k == at.warp) keepLower(rounded[k], at.lane);
    }
    storeRows(rounded, call.to.scores + static_cast<int64_t>(firstRow) * 64, piece, at);
    if constexpr (hasEraseKeys) {
      waitForCopies<0>();
      if (multipliesTogether<KP>) publishToProducts();
      meet();
    }
    multiplyRows(scores, erase, K, at.warp, at, [&](int row, int column) {
      return beta[column] * exp2Fast(beforeErasing(row) - sums[column]);
    });
    lower.store(scores);
    if (threadIdx.x < 64 && rows.has(threadIdx.x)) {
      const int row = threadIdx.x;
      call.to.into[firstRow + row] = exp2Fast(sums[row]);
      call.to.outOf[firstRow + row] = beta[row] * exp2Fast(sums[piece.high - 1] - sums[row]);
    }
    lower.invert(barrier, [&](int i, const SplitA& block) {
      if (i > 0) square.store(at.warp, at.warp + i, block, at.lane);
    });
    meet();
    if (hasEraseKeys) fillValues(0);
    MmaA y[4];
    loadInverse(y, square, at, [&](int row) { return exp2Fast(beforeErasing(row)); });
    storeProduct(y, erase, call.to.w + static_cast<int64_t>(firstRow) * call.K, call.K, call.K, piece, at);
    loadInverse(y, square, at, [](int) { return 1.0f; });
    storeRows(y, call.to.inverse + static_cast<int64_t>(firstRow) * 64, piece, at);
    for (int column = 0; column < call.V; column += KP) {
      waitForCopies<0>();
      if (multipliesTogether<KP>) publishToProducts();
      meet();
      storeProduct(y, values, call.to.u + static_cast<int64_t>(firstRow) * call.V + column, call.V,
                   call.V - column, piece, at);
      meet();
      if (column + KP < call.V) fillValues(column + KP);
    }
  }
  if (call.to.prepared != nullptr && threadIdx.x == 0) countPart(call.to.prepared + bh * numChunks + chunk);
}

template <int KP, bool hasEraseKeys>
__global__ void __launch_bounds__(prepareThreads* maxGroups, 1)
    prepareKernel(const __grid_constant__ DeltaPrepareCall call,
                  const __grid_constant__ DeltaPrepareTasks tasks) {
  extern __shared__ __align__(1024) unsigned char shared[];
  letNextKernelBegin();
  unsigned char* const own = shared + threadIdx.y * PrepareLayout<KP>::bytes;
  const auto meet = [] { joinBarrier(1 + threadIdx.y, prepareThreads); };
  const PrepareWalk walk{tasks, reinterpret_cast<int*>(own + PrepareLayout<KP>::task)};
  Turn turn(tasks.drawn != nullptr);
  if (threadIdx.x == 0) walk.begin(blockIdx.x * blockDim.y + threadIdx.y);
  meet();
  while (!walk.done()) {
    const int heads = static_cast<int>(call.B) * call.H;
    prepareChunk<KP, hasEraseKeys>(call, own, anew(*walk.task / heads), *walk.task % heads, turn);
    if (threadIdx.x == 0) walk.advance(gridDim.x * blockDim.y);
    meet();
  }
  turn.pass();
}

/// What a chunk takes a block of the sweep, in what it takes a multiprocessor here (one H200, K = V = 128).
constexpr float timeRatio = 0.3f;

template <int KP, bool hasEraseKeys>
cudaError_t launch(const DeltaPrepareCall& call, const DeltaDevice& device, cudaStream_t stream) {
  const int groups = min(maxGroups, device.sharedBytes / PrepareLayout<KP>::bytes);
  const int bytes = groups * PrepareLayout<KP>::bytes;
  const auto kernel = prepareKernel<KP, hasEraseKeys>;
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t heads = call.B * call.H;
  if ((error = clearDeltaCounts(call.to.prepared, heads, call.T, stream)) != cudaSuccess) return error;
  const int64_t chunks = (call.T + tileTokens - 1) / tileTokens * heads;
  const int blocks =
      static_cast<int>(min((chunks + groups - 1) / groups, static_cast<int64_t>(device.multiprocessors)));
  const DeltaPrepareTasks tasks =
      prepareTasks(device, heads, call.T, call.K, call.V, call.to.prepared, blocks, timeRatio);
  kernel<<<blocks, dim3(prepareThreads, groups), bytes, stream>>>(call, tasks);
  return cudaGetLastError();
}

template <int KP>
cudaError_t launch(const DeltaPrepareCall& call, const DeltaDevice& device, cudaStream_t stream) {
  return call.b != nullptr ? launch<KP, true>(call, device, stream) : launch<KP, false>(call, device, stream);
}

}  // namespace

cudaError_t launchDeltaPrepare(const DeltaPrepareCall& call, const DeltaDevice& device, cudaStream_t stream) {
  if (call.K <= 64) return launch<64>(call, device, stream);
  return call.K <= 128 ? launch<128>(call, device, stream) : launch<256>(call, device, stream);
}

}  // namespace longscan
