#pragma once

#include "../chunkwise/lane.cuh"
#include "cuda/mma.cuh"

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

}  // namespace longscan
