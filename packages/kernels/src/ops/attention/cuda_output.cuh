#pragma once

#include "../../cuda/mma.cuh"
#include "cuda_online_softmax.cuh"

namespace longscan {

/// Where the two rows of a thread's sums go: o [B, T, H, V] and lse [B, T, H] of one head.
struct OutputRows {
  const LongscanAttention& c;
  int64_t at[2];  // rows of [B, T, H]
  bool exists[2];
  void* o;
  float* lse;

  __device__ OutputRows(const LongscanAttention& call, const LongscanAttentionForward& io, int64_t b, int h,
                        int64_t query0, int row)
      : c(call), o(io.o), lse(io.lse) {
    for (int i = 0; i < 2; i++) {
      const int64_t t = query0 + row + 8 * i;
      exists[i] = t < c.T;
      at[i] = (b * c.T + t) * c.H + h;
    }
  }

  /// The sums to start from: none, or the result over other keys, as a key with score lse and value o.
  template <int columns>
  __device__ void resume(float (&out)[columns][4], OnlineSoftmax& softmax, int lane) const {
#pragma unroll
    for (int n = 0; n < columns; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) out[n][i] = 0.0f;
    if (!c.accumulate) return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      if (!exists[i]) continue;
      const float before = lse[at[i]];
      softmax.top[i] = before / c.scale;
      // The four lanes of a row add theirs up in the end.
      softmax.sum[i] = before == -INFINITY || (lane & 3) != 0 ? 0.0f : 1.0f;
#pragma unroll
      for (int n = 0; n < columns; n++) {
        const int column = 8 * n + 2 * (lane & 3);
        if (8 * n >= c.V) break;
        const int64_t element = at[i] * c.V + column;
        if (c.resultType == longscanElementBf16) {
          const uint32_t both =
              *reinterpret_cast<const uint32_t*>(static_cast<const __nv_bfloat16*>(o) + element);
          out[n][2 * i] = lowHalf(both), out[n][2 * i + 1] = highHalf(both);
        } else {
          const float2 both = *reinterpret_cast<const float2*>(static_cast<const float*>(o) + element);
          out[n][2 * i] = both.x, out[n][2 * i + 1] = both.y;
        }
      }
    }
  }

  template <int columns>
  __device__ void finish(float (&out)[columns][4], const OnlineSoftmax& softmax, const KeyRange (&ranges)[2],
                         int lane) const {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float sum = sumOverQuad(softmax.sum[i]);
      // No key in sight: zero, not 0 / 0.
      const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
      // Who saw none of these keys keeps its bits.
      const bool isWritten = exists[i] && !(c.accumulate && ranges[i].empty());
      if (isWritten && (lane & 3) == 0) lse[at[i]] = softmax.top[i] * c.scale + logf(sum);
#pragma unroll
      for (int n = 0; n < columns; n += 4) {
        if (c.resultType == longscanElementBf16) {
          uint32_t packed[4];
#pragma unroll
          for (int j = 0; j < 4; j++)
            packed[j] = pack(out[n + j][2 * i] * inverse, out[n + j][2 * i + 1] * inverse);
          transposeQuad(packed, lane);
          const int column = 8 * (n + (lane & 3));
          if (isWritten && column < c.V)
            storeGlobal(static_cast<__nv_bfloat16*>(o) + at[i] * c.V + column, packed[0], packed[1],
                        packed[2], packed[3]);
        } else {
#pragma unroll
          for (int j = 0; j < 4; j++)
            if (isWritten && 8 * (n + j) < c.V)
              *reinterpret_cast<float2*>(static_cast<float*>(o) + at[i] * c.V + 8 * (n + j) +
                                         2 * (lane & 3)) = {out[n + j][2 * i] * inverse,
                                                            out[n + j][2 * i + 1] * inverse};
        }
      }
    }
  }
};

/// Of a query that sees no key.
__device__ inline void writeNothingSeen(const LongscanAttention& c, const LongscanAttentionForward& io,
                                        int64_t b, int h, int64_t t) {
  if (c.accumulate || t >= c.T) return;
  const int64_t row = (b * c.T + t) * c.H + h;
  io.lse[row] = -INFINITY;
  const int words = c.V / (c.resultType == longscanElementBf16 ? 8 : 4);
  for (int i = 0; i < words; i++) static_cast<uint4*>(io.o)[row * words + i] = {0, 0, 0, 0};
}

}  // namespace longscan
