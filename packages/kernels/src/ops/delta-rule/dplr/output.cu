#include "cuda/pieces.cuh"
#include "stages.h"
#include "tiles.cuh"

// O = Qe S + Pk V + Pe X, a block for 64 columns of V of a chunk, a warp for 16 of its tokens.

namespace longscan {

namespace {

using Half = __nv_bfloat16;
constexpr int outputThreads = 128;

struct DplrOutputCall {
  LongscanDplr slice;
  Half* o;
  const Half *queries, *keyScores, *extraScores, *x, *states;
  int64_t numChunks;
  int valueTiles;
};

template <int K>
struct DplrOutputShared {
  static constexpr int queries = 0, states = Tile<K>::bytes, keyScores = 2 * Tile<K>::bytes,
                       extraScores = keyScores + Tile<64>::bytes, values = extraScores + Tile<64>::bytes,
                       x = values + Tile<64>::bytes, bytes = x + Tile<64>::bytes + 128;
};

/// sum += A B of 16 rows: B's first `steps` times 16 rows, from tiles as they lie.
__device__ inline void addProduct(float (&sum)[8][4], Tile<64> a, Tile<64> b, int row0, int steps, int lane) {
#pragma unroll
  for (int k = 0; k < 4; k++) {
    if (k >= steps) break;
    const MmaA rows = loadA(a, row0, 16 * k, lane);
#pragma unroll
    for (int n = 0; n < 4; n++) mma(sum[2 * n], sum[2 * n + 1], rows, loadB(b, 16 * k, 16 * n, lane));
  }
}

template <int K>
__global__ void __launch_bounds__(outputThreads) dplrOutputKernel(const DplrOutputCall call) {
  extern __shared__ uint8_t memory[];
  using Shared = DplrOutputShared<K>;
  const uint32_t base = (sharedAddress(memory) + 127) / 128 * 128;
  const Tile<K> queries{base + Shared::queries}, states{base + Shared::states};
  const Tile<64> keyScores{base + Shared::keyScores}, extraScores{base + Shared::extraScores},
      values{base + Shared::values}, x{base + Shared::x};
  const LongscanDplr& slice = call.slice;
  const DplrPlace place(blockIdx.x, call.numChunks, slice.H);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, row0 = thread / 32 * 16;
  const int tile = static_cast<int>(blockIdx.y), V = slice.V;
  const int64_t ofTile = place.number * call.valueTiles + tile;
  const int64_t ofHead = place.batch * slice.T * slice.H + place.head;
  const Half* const v = static_cast<const Half*>(slice.v) + ofHead * V;

  copyTile<K, outputThreads>(queries, call.queries + place.number * tileTokens * K, thread);
  copyTile<K, outputThreads>(states, call.states + ofTile * dplrValues * K, thread);
  copyTile<64, outputThreads>(keyScores, call.keyScores + place.number * tileTokens * tileTokens, thread);
  copyTile<64, outputThreads>(extraScores, call.extraScores + place.number * tileTokens * tileTokens, thread);
  PieceWalk walk(slice.resets ? slice.resets + place.batch * slice.T : nullptr, slice.T, place.chunk,
                 place.chunk + 1, false);
  for (; !walk.done(); walk.advance()) {
    const Piece piece = walk.piece();
    if (!piece.opensChunk) __syncthreads();
    fillTile<64, outputThreads>(values, v, slice.H * V, 64 * tile, V,
                                {place.first, piece.low, piece.high, false});
    copyTile<64, outputThreads>(x, call.x + ofTile * tileTokens * dplrValues, thread, piece.low, piece.high);
    commitCopies();
    waitForCopies<0>();
    __syncthreads();
    float sum[8][4] = {};
    if (piece.opensChunk && !piece.fresh) {
#pragma unroll
      for (int k = 0; k < K / 16; k++) {
        const MmaA rows = loadA(queries, row0, 16 * k, lane);
#pragma unroll
        for (int n = 0; n < 4; n++)
          mma(sum[2 * n], sum[2 * n + 1], rows, loadBTransposed(states, 16 * n, 16 * k, lane));
      }
    }
    addProduct(sum, keyScores, values, row0, row0 / 16 + 1, lane);
    addProduct(sum, extraScores, x, row0, row0 / 16 + 1, lane);
    // Where the warp's own rows of queries were: nobody needs them any more.
    const Tile<64> rows{queries.base + row0 * Tile<K>::pitch};
    __syncwarp();
#pragma unroll
    for (int k = 0; k < 4; k++) storeA(rows, 0, k, operandOf(sum, k), lane);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = 4 * i + lane / 8, unit = lane % 8, token = row0 + row, column = 64 * tile + 8 * unit;
      if (token < piece.low || token >= piece.high || column >= V) continue;
      const uint4 packed = loadShared16(rows.address(row, unit));
      storeGlobal(call.o + (ofHead + (place.first + token) * slice.H) * V + column, packed.x, packed.y,
                  packed.z, packed.w);
    }
  }
}

template <int K>
cudaError_t launch(const DplrOutputCall& call, int64_t count, cudaStream_t stream) {
  constexpr int bytes = DplrOutputShared<K>::bytes;
  const cudaError_t error =
      cudaFuncSetAttribute(dplrOutputKernel<K>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>(count), call.valueTiles);
  dplrOutputKernel<K><<<grid, outputThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchDplrOutput(const LongscanDplr& call, const LongscanDplrForward& io, cudaStream_t stream) {
  const DplrSizes sizes(call);
  const DplrKept<Half> kept(call, io.kept);
  const DplrOutputCall output{call,           static_cast<Half*>(io.o), kept.queries,
                              kept.keyScores, kept.extraScores,         kept.x,
                              kept.states,    sizes.numChunks,          sizes.valueTiles};
  return sizes.keys == 64 ? launch<64>(output, sizes.count, stream)
                          : launch<128>(output, sizes.count, stream);
}

}  // namespace longscan
