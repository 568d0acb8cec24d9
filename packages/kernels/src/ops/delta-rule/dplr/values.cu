#include "backward.h"
#include "chunk.cuh"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

constexpr int threads = 128;

template <int keys>
struct ValuesLayout {
  static constexpr int inverse = 0;
  static constexpr int keyScores = inverse + Tile<64>::bytes;
  static constexpr int keyMeets = keyScores + Tile<64>::bytes;
  static constexpr int reads = keyMeets + Tile<64>::bytes;
  static constexpr int dX = reads + Tile<64>::bytes;  // then Z
  static constexpr int writeKeys = dX + Tile<64>::bytes;
  static constexpr int adjoint = writeKeys + Tile<keys>::bytes;
  static constexpr int bytes = adjoint + Tile<keys>::bytes;
};

/// Of a chunk, 64 values, 16 tokens a warp:
///
///     Z = Y^T dX          dV = Pk^T dO + Kd D + Ak^T Z
template <int keys>
__device__ void takeValues(const DplrValuesCall& call, unsigned char* shared) {
  using Layout = ValuesLayout<keys>;
  const LongscanDplr& slice = call.slice;
  const int valueTiles = (slice.V + dplrValues - 1) / dplrValues;
  const int value = static_cast<int>(blockIdx.x) % valueTiles * dplrValues;
  const DplrChunk chunk(slice, blockIdx.x / valueTiles);
  const int64_t tile = chunk.number * valueTiles + value / dplrValues;
  const int thread = threadIdx.x, lane = thread & 31, warp = thread >> 5, row0 = 16 * warp;
  const uint32_t base = sharedAddress(shared);
  const Tile<64> inverse{base + Layout::inverse}, keyScores{base + Layout::keyScores},
      keyMeets{base + Layout::keyMeets}, reads{base + Layout::reads}, dX{base + Layout::dX};
  const Tile<keys> writeKeys{base + Layout::writeKeys}, adjoint{base + Layout::adjoint};
  const int64_t pitch = static_cast<int64_t>(slice.H) * slice.V;
  const int64_t firstRow = chunk.firstToken * pitch + chunk.head * slice.V + value;

  copyTile<64, threads>(inverse, call.kept.inverse + chunk.number * 64 * 64, thread);
  copyTile<64, threads>(keyScores, call.kept.keyScores + chunk.number * 64 * 64, thread);
  copyTile<64, threads>(keyMeets, call.kept.keyMeets + chunk.number * 64 * 64, thread);
  copyTile<keys, threads>(writeKeys, call.kept.writeKeys + chunk.number * 64 * keys, thread);
  copyTile<keys, threads>(adjoint, call.memory.adjoints + tile * dplrValues * keys, thread);

  const int32_t* resets = slice.resets ? slice.resets + chunk.batch * slice.T : nullptr;
  for (PieceWalk walk(resets, slice.T, chunk.chunk, chunk.chunk + 1, false); !walk.done(); walk.advance()) {
    const Piece& piece = walk.piece();
    copyTile<64, threads>(dX, call.memory.dX + tile * 64 * 64, thread, piece.low, piece.high);
#pragma unroll
    for (int i = 0; i < 64 * 8; i += threads) {
      const int row = (i + thread) / 8, unit = (i + thread) % 8;
      copyAsync16(reads.address(row, unit), call.dO + firstRow + row * pitch + 8 * unit,
                  row >= piece.low && row < piece.high && value + 8 * unit < slice.V);
    }
    commitCopies();
    waitForCopies<0>();
    __syncthreads();

    float Z[8][4] = {}, dV[8][4] = {};
#pragma unroll
    for (int s = 0; s < 4; s++) {
      if (s < warp) continue;  // a token's column is zero above its own row
      const MmaA a = loadATransposed(inverse, 16 * s, row0, lane),
                 p = loadATransposed(keyScores, 16 * s, row0, lane);
#pragma unroll
      for (int n = 0; n < 8; n += 2) {
        mma(Z[n], Z[n + 1], a, loadB(dX, 16 * s, 8 * n, lane));
        mma(dV[n], dV[n + 1], p, loadB(reads, 16 * s, 8 * n, lane));
      }
    }
    if (piece.closesChunk) {
#pragma unroll
      for (int s = 0; s < keys / 16; s++) {
        const MmaA a = loadA(writeKeys, row0, 16 * s, lane);
#pragma unroll
        for (int n = 0; n < 8; n += 2)
          mma(dV[n], dV[n + 1], a, loadBTransposed(adjoint, 8 * n, 16 * s, lane));
      }
    }
    __syncthreads();  // everybody has read dX
    const auto has = [&](int row) { return row >= piece.low && row < piece.high; };
    const int group = lane / 4;
#pragma unroll
    for (int s = 0; s < 4; s++) {
      MmaA z = operandOf(Z, s);
#pragma unroll
      for (int i = 0; i < 4; i++) z.x[i] = has(row0 + group + i % 2 * 8) ? z.x[i] : 0;
      storeA(dX, row0, s, z, lane);
    }
    __syncthreads();
#pragma unroll
    for (int s = 0; s < 4; s++) {
      if (s < warp) continue;
      const MmaA a = loadATransposed(keyMeets, 16 * s, row0, lane);
#pragma unroll
      for (int n = 0; n < 8; n += 2) mma(dV[n], dV[n + 1], a, loadB(dX, 16 * s, 8 * n, lane));
    }
    char* const zTile = reinterpret_cast<char*>(call.memory.z + tile * 64 * 64);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row0 + group + 8 * half;
#pragma unroll
      for (int n = 0; n < 8; n += 4) {
        uint32_t z[4], v[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
          z[j] = pack(Z[n + j][2 * half], Z[n + j][2 * half + 1]);
          v[j] = pack(dV[n + j][2 * half], dV[n + j][2 * half + 1]);
        }
        transposeQuad(z, lane);
        transposeQuad(v, lane);
        if (!has(row)) continue;
        const int unit = n + lane % 4;
        storeGlobal(zTile + Tile<64>{0}.address(row, unit), z[0], z[1], z[2], z[3]);
        if (value + 8 * unit < slice.V)
          storeGlobal(call.dv + firstRow + row * pitch + 8 * unit, v[0], v[1], v[2], v[3]);
      }
    }
    __syncthreads();  // before another piece's rows come
  }
}

template <int keys>
__global__ void __launch_bounds__(threads) dplrValuesKernel(const __grid_constant__ DplrValuesCall call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  takeValues<keys>(call, shared);
}

template <int keys>
cudaError_t launchOf(const DplrValuesCall& call, cudaStream_t stream) {
  constexpr int bytes = ValuesLayout<keys>::bytes;
  const auto kernel = dplrValuesKernel<keys>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const DplrSizes sizes(call.slice);
  kernel<<<static_cast<unsigned>(sizes.count * sizes.valueTiles), threads, bytes, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launchDplrValues(const DplrValuesCall& call, cudaStream_t stream) {
  return DplrSizes(call.slice).keys == 64 ? launchOf<64>(call, stream) : launchOf<128>(call, stream);
}

}  // namespace longscan
