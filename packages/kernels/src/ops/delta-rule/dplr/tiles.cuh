#pragma once

#include "cuda/warpgroup_wide.cuh"
#include "kept.h"

namespace longscan {

/// Rows [row, row + 16), columns [16 step, 16 step + 16) of a tile from a product's first operand.
template <int D>
__device__ inline void storeA(Tile<D> tile, int row, int step, const MmaA& a, int lane) {
#if __CUDA_ARCH__ >= 900
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(
                   tile.fragment(row, 16 * step, lane & 15, lane >> 4)),
               "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3])
               : "memory");
#else
#pragma unroll
  for (int i = 0; i < 4; i++)
    storeShared(tile.address(row + (lane >> 2) + (i & 1) * 8, 2 * step + (i >> 1)) + 4 * (lane & 3), a.x[i]);
#endif
}

/// Starts to copy rows of a tile, as they lie in memory, by `threads` threads. Rows outside of [low, high)
/// become zeros.
template <int D, int threads>
__device__ inline void copyTile(Tile<D> to, const __nv_bfloat16* from, int thread, int low = 0,
                                int high = tileTokens) {
#pragma unroll
  for (int i = 0; i < Tile<D>::bytes / 16 / threads; i++) {
    const int unit = i * threads + thread, row = unit / (D / 8);
    copyAsync16(to.base + 16 * unit, from + 8 * unit, row >= low && row < high);
  }
}

/// A warp's rows [row0, row0 + 16) of a tile to memory as they lie, of which those in [low, high).
template <int D>
__device__ inline void storeRowsOfWarp(__nv_bfloat16* to, Tile<D> from, int row0, int lane, int low = 0,
                                       int high = tileTokens) {
#pragma unroll
  for (int i = 0; i < 16 * D / 8 / 32; i++) {
    const int unit = row0 * (D / 8) + i * 32 + lane, row = unit / (D / 8);
    if (row < low || row >= high) continue;
    const uint4 x = loadShared16(from.base + 16 * unit);
    storeGlobal(to + 8 * unit, x.x, x.y, x.z, x.w);
  }
}

/// Whose chunk a block has.
struct DplrPlace {
  int64_t number;  // as in DplrSizes
  int64_t batch, first;
  int chunk, head;

  __device__ DplrPlace(int64_t number, int64_t numChunks, int H) : number(number) {
    head = static_cast<int>(number % H);
    const int64_t row = number / H;
    batch = row / numChunks;
    chunk = static_cast<int>(row % numChunks);
    first = static_cast<int64_t>(chunk) * tileTokens;
  }
};

}  // namespace longscan
