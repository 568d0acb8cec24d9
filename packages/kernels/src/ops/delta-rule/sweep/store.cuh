#pragma once

#include "cuda/dependent.cuh"
#include "layout.cuh"
#include "parts.cuh"

// How what a sweep's block has shown of a chunk, or has in sums, goes to memory. `Block`: SweepBlock, or that
// of a kernel with the same accessors.

namespace longscan {

/// The shown state of a chunk, of so many among all heads' chunks, to `states`, [chunks, V, K]: by the copy
/// engine, which one warp starts, or by a warpgroup.
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

/// A piece's rows from rounded sums to `tensor`, [B, T, H, V]: two a thread, from a warp's `row0` on. A
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
