#include "subs.cuh"

namespace longscan {

namespace {

/// One block: a chunk of a head, 64 channels of K.
template <bool reads>
class DiagonalGradient : DiagonalSubChunks<reads> {
  using Tokens = DiagonalSubChunks<reads>;
  using Tokens::at, Tokens::b, Tokens::call, Tokens::channel, Tokens::chunk, Tokens::erase, Tokens::h,
      Tokens::K, Tokens::Q, Tokens::query, Tokens::row0, Tokens::write;
  using Tokens::betaOf, Tokens::eachPair, Tokens::floats, Tokens::meetsAdjoint, Tokens::meetsState,
      Tokens::ownPairOf, Tokens::rowsOf;
  using typename Tokens::Layout;
  enum Barrier { writeGradientsThere = 1 };

 public:
  using Tokens::Tokens;

  __device__ void run() {
    for (int low = 0, closed = false; !closed;) {
      const Piece piece = pieceFrom(call.resets ? call.resets + b * call.T : nullptr, call.T, chunk, low);
      low = piece.high;
      closed = piece.closesChunk;
      const auto waitForAdjoint = [&] {
        if (call.finished != nullptr)
          waitForParts(call.finished + Tokens::index(), deltaPartsOfChunk(call.V));
      };
      if (Tokens::multiplyValues(piece, waitForAdjoint))
        Tokens::addTokens(piece);
      else
        Tokens::addTokensBySubs(piece);
      __syncthreads();
      store(piece);
      __syncthreads();
    }
  }

 private:
  __device__ void store(const Piece& piece) {
    const PairPanel writeGradients{floats(Layout::writeGradients)}, changes{floats(Layout::changes)};
    if constexpr (reads) {
      storeGradient(rowsOf(piece), query, call.dq);
      joinBarrier(writeGradientsThere, diagonalThreads);
      eachPair([&](int row, int n, int j, float2) {
        const float2 q = ownPairOf(Q, n, j), k = ownPairOf(K, n, j),
                     written = writeGradients.pairAt(row, 8 * n + at.pairOf);
        changes.pairAt(row, 8 * n + at.pairOf) =
            make_float2(q.x * query[n][j] + k.x * (erase[n][j] - written.x),
                        q.y * query[n][j + 1] + k.y * (erase[n][j + 1] - written.y));
        erase[n][j] += written.x;
        erase[n][j + 1] += written.y;
      });
      storeGradient(rowsOf(piece), erase, call.dk);
    } else {
      eachPair([&](int row, int n, int j, float2) {
        writeGradients.pairAt(row, 8 * n + at.pairOf) = make_float2(write[n][j], write[n][j + 1]);
      });
      announceOrJoinBarrier(writeGradientsThere, diagonalThreads);
      if (call.dbeta != nullptr) storeBetaGradients(rowsOf(piece));
    }
    __syncthreads();
    storeGateGradients(piece, changes);
  }

  /// Shares of dbeta = k . dk / beta, dk as written key. (Z . N / beta is the same from numbers rounded once
  /// more.)
  __device__ void storeBetaGradients(const TileRows& rows) const {
    float dots[2] = {};
    eachPair([&](int, int n, int j, float2) {
      const float2 k = ownPairOf(K, n, j);
      dots[j / 2] += k.x * write[n][j] + k.y * write[n][j + 1];
    });
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) dots[i] += __shfl_xor_sync(~0u, dots[i], distance);
      const int row = row0 + at.group + 8 * i;
      if (at.pairOf != 0 || !rows.has(row)) continue;
      const int64_t token = b * call.T + rows.first + row;
      const float share = dots[i] / betaOf(row);
      if (call.addsBeta)
        atomicAdd(call.dbeta + token * call.H + h, share);
      else
        call.dbeta[(channel / 64 * call.B * call.T + token) * call.H + h] = share;
    }
  }

  __device__ void storeGradient(const TileRows& rows, const Sums& gradient, __nv_bfloat16* to) const {
    const int64_t pitch = static_cast<int64_t>(call.H) * call.K;
    const int64_t head = b * call.T * pitch + h * call.K;
    const DeltaLane at(threadAnew());
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
          __stcs(reinterpret_cast<uint4*>(to + head + (rows.first + row) * pitch + column),
                 make_uint4(packed[0], packed[1], packed[2], packed[3]));
      }
    }
  }

  /// A thread has a quarter of the tokens of one channel.
  __device__ void storeGateGradients(const Piece& piece, PairPanel changes) const {
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
    const int pitch = call.H * call.K;
    const int64_t token = b * call.T + static_cast<int64_t>(chunk) * tileTokens + first;
    float* to = call.dg + token * pitch + h * call.K + channel + column;
    const auto has = [&](int row) {
      return static_cast<unsigned>(row - piece.low) < static_cast<unsigned>(piece.high - piece.low);
    };
#pragma unroll
    for (int i = 0; i < subTokens; i++, to += pitch)
      if (has(first + i)) __stcs(to, sums[i] + later);
    // The first token's decay may meet nothing.
    const bool meetsNothing = piece.fresh || (call.fromZero && chunk == 0 && piece.low == 0);
    if (meetsNothing && piece.low / subTokens == quarter) to[(piece.low - first - subTokens) * pitch] = 0.0f;
  }
};

__device__ void takeGradient(const DeltaDiagonalGradientCall& call, unsigned char* shared,
                             const DiagonalGradientTask& task) {
  if (warpgroupNumber() == 0)
    DiagonalGradient<true>(call, shared, task).run();
  else
    DiagonalGradient<false>(call, shared, task).run();
}

// Two blocks fit into a Hopper multiprocessor's memory, elsewhere one.
constexpr int gradientBlocks = LONGSCAN_WGMMA ? 2 : 1;

/// The grid: heads by 64 channels of K, chunks, and layers of so many of them.
constexpr int chunksOfLayer = 1 << 15;

__global__ void __launch_bounds__(diagonalThreads, gradientBlocks)
    diagonalGradientKernel(const __grid_constant__ DeltaDiagonalGradientCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const int parts = (call.K + 63) / 64;
  const int chunk = static_cast<int>((call.T - 1) / tileTokens) - (blockIdx.z * chunksOfLayer + blockIdx.y);
  if (chunk >= 0)
    takeGradient(call, shared,
                 {chunk, static_cast<int>(blockIdx.x) % parts * 64, static_cast<int>(blockIdx.x) / parts});
  if (call.finished != nullptr && blockIdx.y + 1 == gridDim.y && blockIdx.z + 1 == gridDim.z)
    waitForKernelBefore();
}

/// Of the chunks that another kernel has left. What is known of the launch in the one above is in registers
/// here, for which there is not enough room in a chunk that decays far.
__global__ void __launch_bounds__(diagonalThreads, gradientBlocks)
    leftGradientKernel(const __grid_constant__ DeltaDiagonalGradientCall call,
                       const __grid_constant__ DeltaLeftChunks left) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  __shared__ int drawn;
  const int parts = (call.K + 63) / 64, chunks = static_cast<int>((call.T + tileTokens - 1) / tileTokens);
  waitForParts(&left.counts->through, left.numWriters);
  // One by one: blocks that begin when the sweep beside has ended find few left. Before a number is drawn,
  // all threads have met since they read the last one.
  for (;;) {
    if (threadIdx.x == 0) drawn = atomicAdd(&left.counts->leftDrawn, 1);
    __syncthreads();
    const int i = drawn;
    if (i >= parts * __ldcg(&left.counts->left)) break;
    const int index = __ldcg(left.chunks + i / parts);
    takeGradient(call, shared, {index % chunks, i % parts * 64, index / chunks});
  }
  waitForKernelBefore();
#endif
}

cudaError_t allowMemory(const void* kernel) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              DiagonalGradientLayout::bytes);
}

}  // namespace

cudaError_t launchDeltaDiagonalGradient(const DeltaDiagonalGradientCall& call, cudaStream_t stream) {
  constexpr int bytes = DiagonalGradientLayout::bytes;
  const cudaError_t error = allowMemory(reinterpret_cast<const void*>(diagonalGradientKernel));
  if (error != cudaSuccess) return error;
  // The last chunks first, all heads of a chunk together, as the sweep finishes them. Blocks of one chunk and
  // head side by side: they read the same tokens.
  constexpr int64_t layer = chunksOfLayer;
  const int64_t chunks = (call.T + tileTokens - 1) / tileTokens, parts = (call.K + 63) / 64;
  const dim3 grid(static_cast<unsigned>(call.B * call.H * parts), static_cast<unsigned>(min(chunks, layer)),
                  static_cast<unsigned>((chunks + layer - 1) / layer));
  if (call.finished != nullptr)
    return launchBeside(diagonalGradientKernel, grid, diagonalThreads, bytes, stream, call);
  diagonalGradientKernel<<<grid, diagonalThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

bool deltaDiagonalGradientFits(const DeltaDevice& device) {
  return device.sharedBytes >= DiagonalGradientLayout::bytes;
}

cudaError_t launchDeltaLeftGradient(const DeltaDiagonalGradientCall& call, const DeltaLeftChunks& left,
                                    const DeltaDevice& device, cudaStream_t stream) {
  const cudaError_t error = allowMemory(reinterpret_cast<const void*>(leftGradientKernel));
  if (error != cudaSuccess) return error;
  const int64_t tasks = call.B * call.H * ((call.T + tileTokens - 1) / tileTokens) * ((call.K + 63) / 64);
  const dim3 grid(static_cast<unsigned>(min(tasks, static_cast<int64_t>(2 * device.multiprocessors))));
  return launchBeside(leftGradientKernel, grid, diagonalThreads, DiagonalGradientLayout::bytes, stream, call,
                      left);
}

}  // namespace longscan
