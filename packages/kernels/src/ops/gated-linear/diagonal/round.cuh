#pragma once

#include "diagonal.cuh"

namespace longscan {

/// Rounds eight numbers to bf16; `rest`: what that takes off them.
__device__ inline void roundEight(const float (&x)[8], uint4& rounded, uint4& rest) {
  uint32_t high[4], low[4];
#pragma unroll
  for (int n = 0; n < 4; n++) {
    high[n] = pack(x[2 * n], x[2 * n + 1]);
    low[n] = pack(x[2 * n] - lowHalf(high[n]), x[2 * n + 1] - highHalf(high[n]));
  }
  rounded = make_uint4(high[0], high[1], high[2], high[3]);
  rest = make_uint4(low[0], low[1], low[2], low[3]);
}

__device__ inline void storeEight(__nv_bfloat16* to, uint4 x) {
  storeGlobal(to, x.x, x.y, x.z, x.w);
}

/// Of a query's channel: scaled, and decayed by e^{c} since its piece's start, c in log2.
__device__ inline float decayQuery(float query, float scale, float c) {
  return query * (scale * exp2Decay(c));
}

}  // namespace longscan
