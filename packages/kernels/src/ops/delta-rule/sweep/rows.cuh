#pragma once

#include "bulk.cuh"
#include "cuda/tile.cuh"
#include "sweep.h"

// How a warp loads a piece's rows: whole chunks by the copy engine; pieces that are none, and on other
// devices all, itself.

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

/// Starts to copy a piece's rows of an operand [64, K], `panels` tiles of 64 columns from `to` on, for which
/// `full` waits. `whole`: by the copy engine, from `map`, where the head is at `head` and `batch`; else from
/// memory, where `from` is the head's first row.
template <int panels>
__device__ inline void copyOperand(const DeltaSweepCall& call, bool whole, SweepBarrier full, uint32_t to,
                                   const CUtensorMap& map, int head, int batch, const __nv_bfloat16* from,
                                   int pitch, const TileRows& rows) {
  constexpr int panelBytes = Tile<64>::bytes;
  if (whole) {
    if (electLane()) {
      arriveExpecting(full, panels * panelBytes);
#pragma unroll
      for (int panel = 0; panel < panels; panel++)
        copyBox(to + panel * panelBytes, map, full.address, 64 * panel, head, static_cast<int>(rows.first),
                batch);
    }
    __syncwarp();
  } else {
    for (int panel = 0; panel < panels; panel++)
      copyRows(Tile<64>{to + panel * panelBytes}, from + 64 * panel, pitch, call.K - 64 * panel, rows);
    announceCopies(full);
  }
}

}  // namespace longscan
