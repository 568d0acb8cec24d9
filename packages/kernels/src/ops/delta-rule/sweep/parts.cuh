#pragma once

#include "../chunkwise/lane.cuh"
#include "bulk.cuh"
#include "cuda/dependent.cuh"
#include "cuda/mma.cuh"
#include "cuda/warpgroup.cuh"
#include "sweep.h"

// How tiles of a sweep over chunks go to memory.

namespace longscan {

/// The columns of the first `width` rows of a tile, 16 of them a warp, as rows of bf16 memory. place(column)
/// is where a row begins, or null.
template <int width, typename Place>
__device__ inline void storeColumns(Tile<64> tile, int column0, int rows, const DeltaLane& at,
                                    Place&& place) {
#pragma unroll
  for (int unit = 0; unit < 2; unit++) {
    __nv_bfloat16* const to = place(column0 + 8 * unit + at.group);
#pragma unroll
    for (int row0 = 0; row0 < width; row0 += 32) {
      uint32_t packed[4];
      loadMatricesTransposed(packed, tile.address(row0 + at.lane, column0 / 8 + unit));
      transposeQuad(packed, at.lane);
      const int row = row0 + 8 * (at.lane & 3);
      if (to != nullptr && row < rows)
        *reinterpret_cast<uint4*>(to + row) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
  }
}

/// The first `width` rows of a tile as they are, to [rows, pitch] in bf16; 128 threads.
template <int width>
__device__ inline void storeChannels(Tile<64> tile, __nv_bfloat16* to, int rows, int columns, int pitch,
                                     int thread) {
#pragma unroll
  for (int i = 0; i < width / 16; i++) {
    const int row = thread / 8 + 16 * i, unit = thread % 8;
    const uint4 value = loadShared16(tile.address(row, unit));
    if (row < rows && 8 * unit < columns)
      *reinterpret_cast<uint4*>(to + static_cast<int64_t>(row) * pitch + 8 * unit) = value;
  }
}

// Of the kernels in other folders. The sweeps here have the same for themselves: by these functions, their
// warpgroups' code is laid out in another order, and those of a gate per channel took 3 - 7 % longer.

/// A block's shown state of a chunk to `states`, [B, H, chunks, V, K]: by the copy engine, which one warp
/// starts, or by a warpgroup.
template <int KN, int width, typename Block>
__device__ inline void storeState(const Block& block, __nv_bfloat16* states, int64_t chunk, int shown,
                                  bool byEngine) {
  const int K = block.call.K, V = block.call.V;
  if (byEngine) {
    if (electLane()) {
      publishToProducts();
#pragma unroll
      for (int panel = 0; panel < KN; panel++)
        storeBox(block.maps.states, block.stateTile(shown, panel).base, 64 * panel, 0, block.value,
                 static_cast<int>(chunk));
      commitRuns();
    }
    __syncwarp();
    return;
  }
  __nv_bfloat16* const to = states + (chunk * V + block.value) * K;
#pragma unroll
  for (int panel = 0; panel < KN; panel++)
    storeChannels<width>(block.stateTile(shown, panel), to + 64 * panel, V - block.value, K - 64 * panel, K,
                         threadIdx.x % 128);
}

/// Counts a chunk for the kernel beside, which may read it then, by the warp that had its state stored or by
/// each of four. Whoever waits for the count is not in this block.
template <int width, typename Block>
__device__ inline void countChunk(const Block& block, int64_t chunk, bool byEngine) {
  waitForRuns();
  const int parts = block.call.V - block.value > 32 ? width / 32 : 1;
  __syncwarp();
  if ((threadIdx.x & 31) == 0) countParts(block.call.finished + chunk, byEngine ? 4 * parts : parts);
}

/// A piece's rows from sums, rounded, to `tensor`, [B, T, H, V]: of a warp's from `row0` on, two a thread. A
/// quad's lanes exchange columns, so that each stores 16 bytes.
template <int width, typename Block>
__device__ inline void storeTokenRows(const Block& block, __nv_bfloat16* tensor, const Piece& piece, int row0,
                                      const uint32_t (&packed)[2][width / 8], const DeltaLane& at) {
  const DeltaSweepCall& call = block.call;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = row0 + at.group + 8 * i;
    const int64_t token = block.b * call.T + static_cast<int64_t>(piece.chunk) * tileTokens + row;
    __nv_bfloat16* const to = row >= piece.low && row < piece.high
                                  ? tensor + (token * call.H + block.h) * call.V + block.value
                                  : nullptr;
#pragma unroll
    for (int n = 0; n < width / 8; n += 4) {
      uint32_t unit[4] = {packed[i][n], packed[i][n + 1], packed[i][n + 2], packed[i][n + 3]};
      transposeQuad(unit, at.lane);
      const int column = 8 * (n + (at.lane & 3));
      if (to != nullptr && column < call.V - block.value)
        *reinterpret_cast<uint4*>(to + column) = make_uint4(unit[0], unit[1], unit[2], unit[3]);
    }
  }
}

}  // namespace longscan
