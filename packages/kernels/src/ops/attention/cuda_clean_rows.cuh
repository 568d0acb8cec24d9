#pragma once

#include <cuda_fp16.h>

#include "../../cuda/tile.cuh"

// A weight of zero does not keep a NaN of the row it weighs out of a sum. Where not everyone sees all rows of
// a tile, rows that are not finite are therefore cleared before the tensor cores read the tile, and noted, so
// that who does see them becomes NaN by other means.

namespace longscan {

/// Thread `row` of 32 or more clears its row of a tile of `panels` panels unless all of it is finite. Returns
/// a bit for each cleared row of its warp.
template <int panels>
__device__ inline uint32_t cleanRow(uint32_t tile, int row, uint32_t panelBytes) {
  uint32_t most = 0;
#pragma unroll
  for (int unit = 0; unit < 8 * panels; unit++) {
    uint32_t x[4];
    asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(Tile<64>{tile + unit / 8 * panelBytes}.address(row, unit % 8)));
#pragma unroll
    for (int i = 0; i < 4; i++) most = __vmaxu2(most, x[i] & 0x7fff7fff);
  }
  const bool isBad = (most & 0xffff) >= 0x7f80 || most >> 16 >= 0x7f80;
  if (isBad)
    for (int unit = 0; unit < 8 * panels; unit++)
      for (int i = 0; i < 4; i++)
        storeShared(Tile<64>{tile + unit / 8 * panelBytes}.address(row, unit % 8) + 4 * i, 0u);
  return __ballot_sync(~0u, isBad);
}

/// Whether one of the bits [from, to) of a tile's rows is set.
template <int words>
__device__ inline bool anyRow(const uint32_t (&bits)[words], int from, int to) {
  bool any = false;
#pragma unroll
  for (int i = 0; i < words; i++) {
    const int low = max(from - 32 * i, 0), high = min(to - 32 * i, 32);
    if (low < high) any |= (bits[i] & (~0u << low) & (~0u >> (32 - high))) != 0;
  }
  return any;
}

}  // namespace longscan
