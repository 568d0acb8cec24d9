#include "cuda/arrivals.cuh"
#include "cuda/bulk_copy.cuh"
#include "cuda/pieces.cuh"
#include "cuda/warpgroup.cuh"
#include "stages.h"
#include "tiles.cuh"

// The states from chunk to chunk, a block for 64 columns of V of a head:
//
//     X^T = U^T + S^T W^T          S^T' = gamma S^T + (Kd^T V)^T + X^T Ed
//
// A warp has 16 of the columns for itself, as rows of both products: what one leaves in registers is,
// rounded, the first operand of the other, and warps wait for nothing but the fifth one, which loads ahead.

namespace longscan {

namespace {

using Half = __nv_bfloat16;
constexpr int chainWarps = 4, chainThreads = 32 * (chainWarps + 1);

struct DplrChainCall {
  LongscanDplr slice;
  const float* h0;
  float* ht;
  const Half *w, *extraKeys;
  Half *x, *states;
  const float* gamma;
  int64_t numChunks;
  int valueTiles;
};

/// What a chunk's place in the ring holds, from its base.
template <int K>
struct DplrChainStage {
  static constexpr int count = 3;
  static constexpr int w = 0, extraKeys = Tile<K>::bytes, states = 2 * Tile<K>::bytes, x = 3 * Tile<K>::bytes,
                       gamma = x + Tile<64>::bytes, starts = gamma + 4 * K, bytes = starts + 1024 - 4 * K;
  static constexpr int sharedBytes = count * bytes + 1024;
};

template <int K>
struct DplrChain {
  using Stage = DplrChainStage<K>;
  const DplrChainCall& call;
  const uint32_t base;
  const int64_t batch;
  const int head, tile, lane;
  ArrivalBarrier *const full, *const empty;

  __device__ int64_t numberOf(int64_t chunk) const {
    return (batch * call.numChunks + chunk) * call.slice.H + head;
  }
  __device__ int64_t statesAt(int64_t number) const {
    return (number * call.valueTiles + tile) * dplrValues * K;
  }
  __device__ int64_t xAt(int64_t number) const {
    return (number * call.valueTiles + tile) * dplrChunkTokens * dplrValues;
  }

  /// One warp: chunk after chunk into the ring.
  __device__ void load() const {
    const int32_t* const resets = call.slice.resets ? call.slice.resets + batch * call.slice.T : nullptr;
    for (int64_t chunk = 0; chunk < call.numChunks; chunk++) {
      const int stage = static_cast<int>(chunk % Stage::count),
                round = static_cast<int>(chunk / Stage::count);
      if (round > 0) empty[stage].wait(round - 1);
      const int64_t first = chunk * dplrChunkTokens, number = numberOf(chunk);
      const int length = static_cast<int>(min(int64_t{dplrChunkTokens}, call.slice.T - first));
      const uint64_t starts = documentStarts(resets, first, length, lane);
      const uint32_t to = base + stage * Stage::bytes;
      if (lane == 0) {
        storeShared(to + Stage::starts, static_cast<uint32_t>(starts));
        storeShared(to + Stage::starts + 4, static_cast<uint32_t>(starts >> 32));
      }
      const Half *const w = call.w + number * dplrChunkTokens * K,
                        *const extraKeys = call.extraKeys + number * dplrChunkTokens * K,
                        *const states = call.states + statesAt(number), *const x = call.x + xAt(number);
      const float* const gamma = call.gamma + number * K;
#if __CUDA_ARCH__ >= 900
      if (lane == 0) {
        full[stage].arriveExpecting(3 * Tile<K>::bytes + Tile<64>::bytes + 4 * K);
        copyRun(to + Stage::w, w, Tile<K>::bytes, full[stage]);
        copyRun(to + Stage::x, x, Tile<64>::bytes, full[stage]);
        copyRun(to + Stage::states, states, Tile<K>::bytes, full[stage]);
        copyRun(to + Stage::gamma, gamma, 4 * K, full[stage]);
        copyRun(to + Stage::extraKeys, extraKeys, Tile<K>::bytes, full[stage]);
      }
#else
      copyTile<K, 32>(Tile<K>{to + Stage::w}, w, lane);
      copyTile<64, 32>(Tile<64>{to + Stage::x}, x, lane);
      copyTile<K, 32>(Tile<K>{to + Stage::states}, states, lane);
      copyTile<K, 32>(Tile<K>{to + Stage::extraKeys}, extraKeys, lane);
      if (lane < K / 4) copyAsync16(to + Stage::gamma + 16 * lane, gamma + 4 * lane, true);
      if (lane == 0) full[stage].arrive();
      arriveWhenCopied(full[stage]);
#endif
    }
  }

  /// A warp's columns of the state, through all chunks.
  __device__ void run(int warp) const {
    float s[K / 8][4];
    exchange(s, warp, [&](float& x, int64_t at) { x = call.h0 == nullptr ? 0.0f : call.h0[at]; });
    for (int64_t chunk = 0; chunk < call.numChunks; chunk++) {
      const int stage = static_cast<int>(chunk % Stage::count);
      full[stage].wait(static_cast<int>(chunk / Stage::count));
      step(s, warp, base + stage * Stage::bytes, numberOf(chunk));
      publishToProducts();
      arriveOfWarp(empty[stage]);
    }
    if (call.ht != nullptr) exchange(s, warp, [&](float& x, int64_t at) { call.ht[at] = x; });
  }

 private:
  /// With places of [B, H, V, K]; what is not there is zero.
  template <typename Exchange>
  __device__ void exchange(float (&s)[K / 8][4], int warp, Exchange&& with) const {
    const int V = call.slice.V, width = call.slice.K;
    const int64_t row0 = (batch * call.slice.H + head) * V;
#pragma unroll
    for (int n = 0; n < K / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int value = 64 * tile + 16 * warp + (lane >> 2) + 8 * (i >> 1);
        const int channel = 8 * n + 2 * (lane & 3) + (i & 1);
        if (value < V && channel < width)
          with(s[n][i], (row0 + value) * width + channel);
        else
          s[n][i] = 0.0f;
      }
  }

  __device__ void step(float (&s)[K / 8][4], int warp, uint32_t from, int64_t number) const {
    const Tile<K> w{from + Stage::w}, extraKeys{from + Stage::extraKeys}, states{from + Stage::states};
    const Tile<64> x{from + Stage::x};
    const uint64_t starts =
        loadShared(from + Stage::starts) | static_cast<uint64_t>(loadShared(from + Stage::starts + 4)) << 32;
    const bool forgets = __any_sync(~0u, starts != 0);
    MmaA before[K / 16];
#pragma unroll
    for (int k = 0; k < K / 16; k++) before[k] = operandOf(s, k);

    float sum[8][4];
    takeX(sum, x, warp);
    addProduct<StoredB::rows>(sum, before, w);
    decay(s, states, from + Stage::gamma, warp, forgets);
    __syncwarp();
#pragma unroll
    for (int k = 0; k < K / 16; k++) storeA(states, 16 * warp, k, before[k], lane);

    endProduct(sum);
    if (forgets) forgetState(sum, x, warp, __ffsll(static_cast<long long>(starts)) - 1);
    MmaA rows[4];
#pragma unroll
    for (int k = 0; k < 4; k++) rows[k] = operandOf(sum, k);
    MmaA added[4] = {rows[0], rows[1], rows[2], rows[3]};
    if (forgets) forgetRows(added, 63 - __clzll(static_cast<long long>(starts)));
    addProduct<StoredB::columns>(s, added, extraKeys);
    __syncwarp();
#pragma unroll
    for (int k = 0; k < 4; k++) storeATransposed(x, 16 * k, 16 * warp, rows[k], lane);
    __syncwarp();
    storeRowsOfWarp(call.states + statesAt(number), states, 16 * warp, lane);
    storeX(call.x + xAt(number), x, warp);
    endProduct(s);
  }

  /// Starts sum += A B: of 64 keys on Hopper in the background, by four warps together.
  template <StoredB stored, int columns, int steps, int D>
  __device__ void addProduct(float (&sum)[columns][4], const MmaA (&a)[steps], Tile<D> b) const {
    if constexpr (K == 64) {
      beginProducts();
#pragma unroll
      for (int k = 0; k < steps; k++) multiply<stored>(sum, a[k], b, k);
      commitProducts();
    } else {
#pragma unroll
      for (int k = 0; k < steps; k++)
#pragma unroll
        for (int n = 0; n < columns / 2; n++)
          mma(sum[2 * n], sum[2 * n + 1], a[k],
              stored == StoredB::rows ? loadBTransposed(b, 16 * n, 16 * k, lane)
                                      : loadB(b, 16 * k, 16 * n, lane));
    }
  }

  template <int columns>
  __device__ static void endProduct(float (&sum)[columns][4]) {
    if constexpr (K == 64) {
      waitForProducts<0>();
      settle(sum);
    }
  }

  /// The warp's columns of what lies at X, as rows.
  __device__ void takeX(float (&sum)[8][4], Tile<64> x, int warp) const {
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const MmaA a = loadATransposed(x, 16 * n, 16 * warp, lane);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        sum[2 * n + (i >> 1)][2 * (i & 1)] = lowHalf(a.x[i]);
        sum[2 * n + (i >> 1)][2 * (i & 1) + 1] = highHalf(a.x[i]);
      }
    }
  }

  /// gamma S^T + (Kd^T V)^T
  __device__ void decay(float (&s)[K / 8][4], Tile<K> states, uint32_t gamma, int warp, bool forgets) const {
#pragma unroll
    for (int k = 0; k < K / 16; k++) {
      const MmaA a = loadA(states, 16 * warp, 16 * k, lane);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float* const to = &s[2 * k + (i >> 1)][2 * (i & 1)];
        const float2 factor = loadSharedFloat2(gamma + 4 * (16 * k + 8 * (i >> 1) + 2 * (lane & 3)));
        // A state that is no number is forgotten, too.
        to[0] = (forgets ? 0.0f : factor.x * to[0]) + lowHalf(a.x[i]);
        to[1] = (forgets ? 0.0f : factor.y * to[1]) + highHalf(a.x[i]);
      }
    }
  }

  /// Rows of X from `first` on have no part of the state.
  __device__ void forgetState(float (&sum)[8][4], Tile<64> x, int warp, int first) const {
    float alone[8][4];
    takeX(alone, x, warp);
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (8 * n + 2 * (lane & 3) + (i & 1) >= first) sum[n][i] = alone[n][i];
  }

  /// What comes before the last document's start adds nothing to the state.
  __device__ void forgetRows(MmaA (&rows)[4], int last) const {
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int token = 16 * k + 8 * (i >> 1) + 2 * (lane & 3);
        rows[k].x[i] &= (token >= last ? 0xffffu : 0) | (token + 1 >= last ? 0xffff0000u : 0);
      }
  }

  /// The warp's columns.
  __device__ void storeX(Half* to, Tile<64> x, int warp) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const uint32_t from = x.address(16 * i + (lane >> 1), 2 * warp + (lane & 1));
      const uint4 both = loadShared16(from);
      storeGlobal(to + (from - x.base) / 2, both.x, both.y, both.z, both.w);
    }
  }
};

template <int K>
__global__ void __launch_bounds__(chainThreads, 1) dplrChainKernel(const DplrChainCall call) {
  extern __shared__ uint8_t memory[];
  __shared__ ArrivalBarrier full[DplrChainStage<K>::count], empty[DplrChainStage<K>::count];
  if (threadIdx.x == 0) {
    for (int i = 0; i < DplrChainStage<K>::count; i++) {
#if __CUDA_ARCH__ >= 900
      full[i].init(1);
#else
      full[i].init(33);
#endif
      empty[i].init(arrivalsOfWarp * chainWarps);
    }
    publishBarriers();
  }
  __syncthreads();
  // The same for a whole warp, as the compiler is to know.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);
  const int H = call.slice.H;
  const DplrChain<K> chain{call,
                           (sharedAddress(memory) + 1023) / 1024 * 1024,
                           blockIdx.x / H,
                           static_cast<int>(blockIdx.x % H),
                           static_cast<int>(blockIdx.y),
                           static_cast<int>(threadIdx.x % 32),
                           full,
                           empty};
  if (warp == chainWarps)
    chain.load();
  else
    chain.run(warp);
}

template <int K>
cudaError_t launch(const DplrChainCall& call, cudaStream_t stream) {
  constexpr int bytes = DplrChainStage<K>::sharedBytes;
  const cudaError_t error =
      cudaFuncSetAttribute(dplrChainKernel<K>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>(call.slice.B * call.slice.H), call.valueTiles);
  dplrChainKernel<K><<<grid, chainThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

size_t dplrChainSharedBytes(int keys) {
  return keys == 64 ? DplrChainStage<64>::sharedBytes : DplrChainStage<128>::sharedBytes;
}

cudaError_t launchDplrChain(const LongscanDplr& call, const LongscanDplrForward& io, cudaStream_t stream) {
  const DplrSizes sizes(call);
  const DplrKept<Half> kept(call, io.kept);
  const DplrChainCall chain{call,   io.h0,       io.ht,      kept.w,          kept.extraKeys,
                            kept.x, kept.states, kept.gamma, sizes.numChunks, sizes.valueTiles};
  return sizes.keys == 64 ? launch<64>(chain, stream) : launch<128>(chain, stream);
}

}  // namespace longscan
