#pragma once

#include "../../cuda/mma.cuh"
#include "cuda_online_softmax.cuh"

namespace longscan {

/// Two neighbours of a row that begins at `element`.
__device__ inline float2 loadTwo(const void* from, int type, int64_t element) {
  if (type == longscanElementF32)
    return *reinterpret_cast<const float2*>(static_cast<const float*>(from) + element);
  const uint32_t both = *reinterpret_cast<const uint32_t*>(static_cast<const __nv_bfloat16*>(from) + element);
  return {lowHalf(both), highHalf(both)};
}

/// The first (`i` = 0) or second of a thread's two rows of sums, times `factor`, to row `at` of [.., width]
/// from column `column0` on, if it is `wanted`. By all lanes of a quad.
template <int columns>
__device__ void storeRow(const float (&sums)[columns][4], int i, float factor, void* to, int type, int64_t at,
                         int width, bool accumulate, bool wanted, int lane, int column0 = 0) {
#pragma unroll
  for (int n = 0; n < columns; n += 4) {
    uint32_t packed[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const int column = column0 + 8 * (n + j) + 2 * (lane & 3);
      float2 value = {sums[n + j][2 * i] * factor, sums[n + j][2 * i + 1] * factor};
      const bool isThere = wanted && column < width;
      if (accumulate && isThere) {
        const float2 before = loadTwo(to, type, at * width + column);
        value.x += before.x, value.y += before.y;
      }
      packed[j] = pack(value.x, value.y);
      if (isThere && type == longscanElementF32)
        *reinterpret_cast<float2*>(static_cast<float*>(to) + at * width + column) = value;
    }
    if (type == longscanElementF32) continue;
    // Whole units of 16 bytes.
    transposeQuad(packed, lane);
    const int column = column0 + 8 * (n + (lane & 3));
    if (wanted && column < width)
      storeGlobal(static_cast<__nv_bfloat16*>(to) + at * width + column, packed[0], packed[1], packed[2],
                  packed[3]);
  }
}

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
        const float2 both = loadTwo(o, c.resultType, at[i] * c.V + column);
        out[n][2 * i] = both.x, out[n][2 * i + 1] = both.y;
      }
    }
  }

  template <int columns>
  __device__ void finish(float (&out)[columns][4], const OnlineSoftmax& softmax, const bool (&sees)[2],
                         int lane) const {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float sum = sumOverQuad(softmax.sum[i]);
      // No key in sight: zero, not 0 / 0.
      const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
      // Who saw none of these keys keeps its bits.
      const bool isWritten = exists[i] && (sees[i] || !c.accumulate);
      if (isWritten && (lane & 3) == 0) lse[at[i]] = softmax.top[i] * c.scale + logf(sum);
      storeRow(out, i, inverse, o, c.resultType, at[i], c.V, false, isWritten, lane);
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
