#pragma once

#include "cuda/tile.cuh"
#include "ring.cuh"

// How a warp copies what the copy engine does not: pieces that are not whole chunks, and on other devices
// all.

namespace longscan {

/// Starts to copy a piece's rows of 64 bytes or 128, as many columns of which are there.
template <typename Tile>
__device__ inline void copyRows(Tile to, const __nv_bfloat16* from, int pitch, int columns,
                                const TileRows& rows) {
  constexpr int units = Tile::bytes / tileTokens / 16;
#pragma unroll 4
  for (int i = threadIdx.x & 31; i < tileTokens * units; i += 32) {
    const int row = i / units, unit = i % units;
    copyAsync16(to.address(row, unit), from + (rows.first + row) * pitch + 8 * unit,
                rows.has(row) && 8 * unit < columns);
  }
}

/// `full` is complete when the calling warp's copies so far are there.
__device__ inline void announceCopies(SweepBarrier full) {
  full.expectCopies();
  __syncwarp();
  if ((threadIdx.x & 31) == 0) full.arrive();
}

}  // namespace longscan
