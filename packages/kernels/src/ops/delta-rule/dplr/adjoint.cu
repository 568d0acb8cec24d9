#include <type_traits>

#include "backward.h"
#include "chunk.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int loadThreads = 128;

/// Of whole tiles, so that what is no value is left as zeros, too.
__host__ __device__ int blocksOfHead(int V, int width) {
  return (V + dplrValues - 1) / dplrValues * (dplrValues / width);
}

/// A stage of the ring: what a block needs of one chunk.
template <int keys>
struct AdjointStage {
  static constexpr int scores = 0;
  static constexpr int extraKeys = scores + Tile<64>::bytes;
  static constexpr int w = extraKeys + Tile<keys>::bytes;
  static constexpr int queries = w + Tile<keys>::bytes;
  static constexpr int reads = queries + Tile<keys>::bytes;
  static constexpr int gamma = reads + Tile<64>::bytes;
  static constexpr int starts = gamma + 4 * keys;
  static constexpr int bytes = (starts + 8 + 127) / 128 * 128;
  static constexpr int count = keys == 64 ? 4 : 3;
};

/// D against time, of 16 values a warp. The state is transposed, values as rows: what one product leaves is
/// the next one's first operand in the registers where it lies, and no warp waits for another but for what is
/// loaded.
///
///     dX^T = dO^T Pe + D^T Ed^T          D_in^T = gamma D^T + dO^T Qe + dX^T W
template <int keys, int warps>
class DplrAdjoint {
  using Stage = AdjointStage<keys>;
  static constexpr int width = 16 * warps, keySteps = keys / 16, tokenSteps = dplrChunkTokens / 16;

  const DplrAdjointCall& call;
  const LongscanDplr& slice;
  const uint32_t base;
  const int lane, warp;
  int b, h, value, numChunks;  // value: the block's first

 public:
  __device__ DplrAdjoint(const DplrAdjointCall& call, unsigned char* shared)
      : call(call),
        slice(call.slice),
        base(sharedAddress(shared)),
        lane(threadIdx.x & 31),
        warp(__shfl_sync(~0u, static_cast<int>(threadIdx.x >> 5), 0)),
        numChunks(static_cast<int>((slice.T + tileTokens - 1) / tileTokens)) {
    const int blocks = blocksOfHead(slice.V, width), bh = blockIdx.x / blocks;
    value = static_cast<int>(blockIdx.x) % blocks * width;
    b = bh / slice.H;
    h = bh % slice.H;
  }

  __device__ void run() {
    if (warp < warps)
      chain();
    else
      load();
  }

 private:
  using State = float[keys / 8][4];

  __device__ int64_t number(int chunk) const {
    return (static_cast<int64_t>(b) * numChunks + chunk) * slice.H + h;
  }
  __device__ uint32_t stage(int i) const { return base + i % Stage::count * Stage::bytes; }

  // The warps that load: stage i has chunk numChunks - 1 - i.

  __device__ void load() const {
    for (int i = 0; i < Stage::count - 1; i++) fill(i);
    for (int i = 0; i < numChunks; i++) {
      waitForCopies<Stage::count - 2>();
      __syncthreads();
      fill(i + Stage::count - 1);
    }
  }

  /// A stage that does not exist has no copies, but is counted.
  __device__ void fill(int i) const {
    if (i < numChunks) {
      const int thread = threadIdx.x - 32 * warps;
      const DplrChunk chunk(slice, number(numChunks - 1 - i));
      const uint32_t to = stage(i);
      const auto tileOf = [&](const Bf16* all, int64_t numbers) { return all + chunk.number * numbers; };
      copyTile<64, loadThreads>(Tile<64>{to + Stage::scores}, tileOf(call.kept.extraScores, 64 * 64), thread);
      copyTile<keys, loadThreads>(Tile<keys>{to + Stage::extraKeys}, tileOf(call.kept.extraKeys, 64 * keys),
                                  thread);
      copyTile<keys, loadThreads>(Tile<keys>{to + Stage::w}, tileOf(call.kept.w, 64 * keys), thread);
      copyTile<keys, loadThreads>(Tile<keys>{to + Stage::queries}, tileOf(call.kept.queries, 64 * keys),
                                  thread);
      if (thread < keys / 4)
        copyAsync16(to + Stage::gamma + 16 * thread, call.kept.gamma + chunk.number * keys + 4 * thread,
                    true);
      fillReads(Tile<64>{to + Stage::reads}, chunk, thread);
      if (warp == warps) {
        const uint64_t starts = documentStarts(slice.resets, chunk.firstToken, chunk.length, lane);
        if (lane < 2) storeShared(to + Stage::starts + 4 * lane, static_cast<uint32_t>(starts >> 32 * lane));
      }
    }
    commitCopies();
  }

  /// dO of the block's values, zeros where there is none.
  __device__ void fillReads(Tile<64> tile, const DplrChunk& chunk, int thread) const {
    constexpr int units = width / 8;
#pragma unroll
    for (int i = 0; i < 64 * units; i += loadThreads) {
      const int row = (i + thread) / units, unit = (i + thread) % units, column = value + 8 * unit;
      copyAsync16(tile.address(row, unit),
                  call.dO + ((chunk.firstToken + row) * slice.H + h) * slice.V + column,
                  row < chunk.length && column < slice.V);
    }
  }

  // The warps of the chain.

  __device__ void chain() {
    State D;
    eachOfState([&](float& x, int64_t place) { x = call.dht ? call.dht[place] : 0.0f; }, D);
    for (int i = 0; i < numChunks; i++) {
      __syncthreads();
      const uint32_t at = stage(i);
      const uint64_t starts =
          loadShared(at + Stage::starts) | static_cast<uint64_t>(loadShared(at + Stage::starts + 4)) << 32;
      const int64_t tile = number(numChunks - 1 - i) * ((slice.V + 63) / 64) + value / 64;
      if (call.adjoints) storeAdjoint(call.adjoints + tile * 64 * keys, D);
      if (starts == 0)
        advance(D, at, tile, std::false_type(), starts);
      else
        advance(D, at, tile, std::true_type(), starts);
    }
    if (call.dh0) eachOfState([&](float& x, int64_t place) { call.dh0[place] = x; }, D);
  }

  /// visit(number, its place in [B, H, V, K]); those that do not exist are zero.
  template <typename Visit>
  __device__ void eachOfState(Visit&& visit, State& D) const {
#pragma unroll
    for (int n = 0; n < keys / 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int v = value + 16 * warp + lane / 4 + i / 2 * 8, c = 8 * n + lane % 4 * 2 + i % 2;
        const bool exists = v < slice.V && c < slice.K;
        if (exists)
          visit(D[n][i], ((static_cast<int64_t>(b) * slice.H + h) * slice.V + v) * slice.K + c);
        else
          D[n][i] = 0.0f;
      }
    }
  }

  /// One chunk. With documents, D reaches the rows from the last start on, and those up to the first one
  /// reach what is before the chunk; no row meets one of another document, not even as a zero.
  template <typename Documents>
  __device__ void advance(State& D, uint32_t at, int64_t tile, Documents documents, uint64_t starts) const {
    MmaA reads[tokenSteps], dX[tokenSteps];
#pragma unroll
    for (int s = 0; s < tokenSteps; s++)
      reads[s] = loadATransposed(Tile<64>{at + Stage::reads}, 16 * s, 16 * warp, lane);
    if constexpr (documents.value) {
      float kept[8][4] = {};
      for (int low = 0; low < dplrChunkTokens;) {
        const uint64_t later = low < 63 ? starts >> (low + 1) << (low + 1) : 0;
        const int high = later ? __ffsll(static_cast<long long>(later)) - 1 : dplrChunkTokens;
        MmaA own[tokenSteps];
#pragma unroll
        for (int s = 0; s < tokenSteps; s++) own[s] = only(reads[s], s, low, high);
        float sum[8][4] = {};
        addScores(sum, own, at);
        if (high == dplrChunkTokens) addAdjoint(sum, D, at);
#pragma unroll
        for (int n = 0; n < 8; n++) {
#pragma unroll
          for (int i = 0; i < 4; i++) {
            const int token = 8 * n + lane % 4 * 2 + i % 2;
            if (token >= low && token < high) kept[n][i] = sum[n][i];
          }
        }
        low = high;
      }
      const int first = __ffsll(static_cast<long long>(starts)) - 1;
      storeX(tile, kept, dX);
#pragma unroll
      for (int s = 0; s < tokenSteps; s++) {
        reads[s] = only(reads[s], s, 0, first);
        dX[s] = only(dX[s], s, 0, first);
      }
#pragma unroll
      for (int n = 0; n < keys / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) D[n][i] = 0.0f;
    } else {
      float sum[8][4] = {};
      addScores(sum, reads, at);
      addAdjoint(sum, D, at);
      storeX(tile, sum, dX);
#pragma unroll
      for (int n = 0; n < keys / 8; n++) {
        const float2 gamma = loadSharedFloat2(at + Stage::gamma + 4 * (8 * n + lane % 4 * 2));
#pragma unroll
        for (int i = 0; i < 4; i++) D[n][i] *= i % 2 ? gamma.y : gamma.x;
      }
    }
    addRows(D, reads, Tile<keys>{at + Stage::queries});
    addRows(D, dX, Tile<keys>{at + Stage::w});
  }

  /// Without the tokens outside [low, high): no product with zero takes them away if they are no numbers.
  __device__ MmaA only(MmaA a, int step, int low, int high) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int token = 16 * step + i / 2 * 8 + lane % 4 * 2;
      const bool first = token >= low && token < high, second = token + 1 >= low && token + 1 < high;
      a.x[i] &= (first ? 0xffffu : 0) | (second ? 0xffff0000u : 0);
    }
    return a;
  }

  /// dO^T Pe: rows above a column's own score zero.
  __device__ void addScores(float (&sum)[8][4], const MmaA (&reads)[tokenSteps], uint32_t at) const {
#pragma unroll
    for (int s = 0; s < tokenSteps; s++) {
#pragma unroll
      for (int n = 0; n <= 2 * s; n += 2)
        mma(sum[n], sum[n + 1], reads[s], loadB(Tile<64>{at + Stage::scores}, 16 * s, 8 * n, lane));
    }
  }
  /// D^T Ed^T
  __device__ void addAdjoint(float (&sum)[8][4], const State& D, uint32_t at) const {
#pragma unroll
    for (int s = 0; s < keySteps; s++) {
      const MmaA a = operandOf(D, s);
#pragma unroll
      for (int n = 0; n < 8; n += 2)
        mma(sum[n], sum[n + 1], a, loadBTransposed(Tile<keys>{at + Stage::extraKeys}, 8 * n, 16 * s, lane));
    }
  }
  __device__ void addRows(State& D, const MmaA (&a)[tokenSteps], Tile<keys> rows) const {
#pragma unroll
    for (int s = 0; s < tokenSteps; s++) {
#pragma unroll
      for (int n = 0; n < keys / 8; n += 2) mma(D[n], D[n + 1], a[s], loadB(rows, 16 * s, 8 * n, lane));
    }
  }

  /// dX^T as an operand, and to memory, a unit of 8 values a lane.
  __device__ void storeX(int64_t tile, const float (&sum)[8][4], MmaA (&dX)[tokenSteps]) const {
#pragma unroll
    for (int s = 0; s < tokenSteps; s++) dX[s] = operandOf(sum, s);
    if (!call.dX) return;
    char* const to = reinterpret_cast<char*>(call.dX + tile * 64 * 64);
#pragma unroll
    for (int s = 0; s < tokenSteps; s++) {
      uint32_t turned[4];
#pragma unroll
      for (int i = 0; i < 4; i++) turned[i] = transposeMatrix(dX[s].x[i]);
      transposeQuad(turned, lane);
      const int own = lane % 4, row = 16 * s + own / 2 * 8 + lane / 4,
                unit = (value % 64 + 16 * warp) / 8 + own % 2;
      storeGlobal(to + Tile<64>{0}.address(row, unit), turned[0], turned[1], turned[2], turned[3]);
    }
  }

  __device__ void storeAdjoint(Bf16* tile, const State& D) const {
    char* const to = reinterpret_cast<char*>(tile);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = value % 64 + 16 * warp + lane / 4 + 8 * half;
#pragma unroll
      for (int n = 0; n < keys / 8; n += 4) {
        uint32_t packed[4];
#pragma unroll
        for (int j = 0; j < 4; j++) packed[j] = pack(D[n + j][2 * half], D[n + j][2 * half + 1]);
        transposeQuad(packed, lane);
        storeGlobal(to + Tile<keys>{0}.address(row, n + lane % 4), packed[0], packed[1], packed[2],
                    packed[3]);
      }
    }
  }
};

template <int keys, int warps>
__global__ void __launch_bounds__(32 * warps + loadThreads, 1)
    dplrAdjointKernel(const __grid_constant__ DplrAdjointCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  DplrAdjoint<keys, warps>(call, shared).run();
}

template <int keys>
constexpr int sharedBytes = AdjointStage<keys>::bytes* AdjointStage<keys>::count;

template <int keys, int warps>
cudaError_t launchOf(const DplrAdjointCall& call, cudaStream_t stream) {
  constexpr int bytes = sharedBytes<keys>;
  const auto kernel = dplrAdjointKernel<keys, warps>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.slice.B * call.slice.H * blocksOfHead(call.slice.V, 16 * warps);
  kernel<<<static_cast<unsigned>(blocks), 32 * warps + loadThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

/// As few values a block as there are multiprocessors for; no result depends on it.
template <int keys>
cudaError_t launchWith(const DplrAdjointCall& call, cudaStream_t stream) {
  int device = 0, multiprocessors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (error != cudaSuccess) return error;
  const auto fits = [&](int width) {
    return call.slice.B * call.slice.H * blocksOfHead(call.slice.V, width) <= multiprocessors;
  };
  if (fits(16)) return launchOf<keys, 1>(call, stream);
  if (fits(32)) return launchOf<keys, 2>(call, stream);
  return launchOf<keys, 4>(call, stream);
}

}  // namespace

size_t dplrAdjointSharedBytes(int keys) {
  return keys == 64 ? sharedBytes<64> : sharedBytes<128>;
}

cudaError_t launchDplrAdjoint(const DplrAdjointCall& call, cudaStream_t stream) {
  return DplrSizes(call.slice).keys == 64 ? launchWith<64>(call, stream) : launchWith<128>(call, stream);
}

}  // namespace longscan
