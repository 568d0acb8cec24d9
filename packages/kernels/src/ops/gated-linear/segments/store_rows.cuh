#pragma once

#include "../sweep/parts.cuh"

namespace longscan {

/// `transposeQuad` without conditions, which compilers make branches of where registers are short.
__device__ inline void transposeQuadByMasks(uint32_t (&value)[4], int lane) {
  const auto exchange = [](uint32_t& left, uint32_t& right, uint32_t isOdd, int distance) {
    const uint32_t other = __shfl_xor_sync(~0u, (left & isOdd) | (right & ~isOdd), distance);
    left = (other & isOdd) | (left & ~isOdd);
    right = (right & isOdd) | (other & ~isOdd);
  };
  const uint32_t one = -(lane & 1), two = -(lane >> 1 & 1);
  exchange(value[0], value[1], one, 1);
  exchange(value[2], value[3], one, 1);
  exchange(value[0], value[2], two, 2);
  exchange(value[1], value[3], two, 2);
}

/// This thread's rows of a warpgroup's sums, scaled, as bf16. The tile of 64 channels, of which `width` are
/// there, begins at `to`, the thread's first row `offset` elements further, the other `below` that one.
/// `transpose`: one of a quad, whichever is faster where this is called.
template <void (&transpose)(uint32_t (&)[4], int)>
__device__ inline void storeRows(const Sums& sum, __nv_bfloat16* to, int offset, int below, bool hasUpper,
                                 bool hasLower, int width, float scale, const Lane& at) {
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      // The quad's four lanes have two channels each of eight groups of eight: afterwards a lane has two
      // groups.
      uint32_t packed[4];
#pragma unroll
      for (int n = 0; n < 4; n++) {
        const float* two = &sum[4 * half + n][2 * i];
        packed[n] = pack(scale * two[0], scale * two[1]);
      }
      transpose(packed, at.lane);
      const int inside = 32 * half + 8 * (at.lane & 3);
      if ((i == 0 ? hasUpper : hasLower) && inside < width)
        storeGlobal(to + (offset + i * below + inside), packed[0], packed[1], packed[2], packed[3]);
    }
}

}  // namespace longscan
