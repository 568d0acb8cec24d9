#pragma once

#include "cuda_lane.cuh"

// How the warps of a sweep over chunks hold and move their data.

namespace longscan {

constexpr int deltaSweepThreads = 128;

/// [64 tokens, D] bf16 in shared memory for D < 64; a pad of one unit spreads the rows over the banks.
template <int D>
struct PaddedTile {
  static constexpr int pitch = 2 * D + 16;
  static constexpr int bytes = tileTokens * pitch;
  uint32_t base;

  /// A[m, k] = tile[row + k][column + m], 16 x 16: a transposed block, which is also laid out as an accumulator.
  __device__ MmaA transposed(int row, int column, int lane) const {
    MmaA a;
    loadMatricesTransposed(
        a.x, base + (row + (lane & 7) + ((lane >> 4) << 3)) * pitch + 2 * column + (lane >> 3 & 1) * 16);
    return a;
  }

  /// As `fillTile`.
  template <int threads>
  __device__ void fill(const __nv_bfloat16* from, int pitchFrom, int width, TileRows rows) const {
    constexpr int units = D / 8;
#pragma unroll
    for (int i = threadIdx.x; i < tileTokens * units; i += threads) {
      const int row = i / units, unit = i % units;
      const int offset = rows.offsetOf(row);
      copyAsync16(base + row * pitch + 16 * unit, from + (rows.first + offset) * pitchFrom + 8 * unit,
                  8 * unit < width && rows.has(offset));
    }
  }
};

/// [16 channels of V, 64], as a warp's accumulators hold them: row lane/4 (+ 8), column 8 n + 2*(lane%4) + {0, 1}.
struct WarpSums {
  float x[8][4];

  __device__ void clear() {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) x[n][i] = 0.0f;
  }

  /// Rounded to bf16, as first operand over columns [16 k, 16 k + 16).
  __device__ MmaA operand(int k) const {
    const float *left = x[2 * k], *right = x[2 * k + 1];
    return {{pack(left[0], left[1]), pack(left[2], left[3]), pack(right[0], right[1]), pack(right[2], right[3])}};
  }

  /// Each column times factor[column]; `factor` in shared memory.
  __device__ void scaleColumns(const float* factor, int pairOf) {
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float2 f = *reinterpret_cast<const float2*>(factor + 8 * n + pairOf);
      x[n][0] *= f.x;
      x[n][1] *= f.y;
      x[n][2] *= f.x;
      x[n][3] *= f.y;
    }
  }
};

/// An operand over 16 tokens times factor[token], rounded again.
__device__ inline MmaA scaleOperand(const MmaA& a, const float* factor, float scale, int pairOf) {
  const float2 near = *reinterpret_cast<const float2*>(factor + pairOf);
  const float2 far = *reinterpret_cast<const float2*>(factor + 8 + pairOf);
  MmaA scaled;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 f = i < 2 ? near : far;
    scaled.x[i] = pack(lowHalf(a.x[i]) * (scale * f.x), highHalf(a.x[i]) * (scale * f.y));
  }
  return scaled;
}

/// The transpose of an 8 x 8 block of bf16 that lies over a warp as an accumulator does.
__device__ inline uint32_t transposeBlock(uint32_t block) {
  uint32_t transposed;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(block));
  return transposed;
}

/// A warp's part of the transposed state: 16 channels of V, 64 of K.
struct StatePart : WarpSums {
  __device__ void scale(float factor) {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) x[n][i] *= factor;
  }

  /// From or to f32 [rows, pitch] at the part's first element; rows and channels that are not there are zero.
  __device__ void load(const float* from, int rows, int channels, int pitch, const DeltaLane& at) {
    clear();
    if (from == nullptr) return;
    each(rows, channels, pitch, at, [&](float& low, float& high, int64_t place) {
      const float2 both = *reinterpret_cast<const float2*>(from + place);
      low = both.x;
      high = both.y;
    });
  }
  __device__ void store(float* to, int rows, int channels, int pitch, const DeltaLane& at) {
    each(rows, channels, pitch, at, [&](float& low, float& high, int64_t place) {
      *reinterpret_cast<float2*>(to + place) = make_float2(low, high);
    });
  }

 private:
  template <typename Visit>
  __device__ void each(int rows, int channels, int pitch, const DeltaLane& at, Visit&& visit) {
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = at.group + 8 * half, channel = 8 * n + at.pairOf;
        if (row < rows && channel < channels)
          visit(x[n][2 * half], x[n][2 * half + 1], static_cast<int64_t>(row) * pitch + channel);
      }
  }
};

/// The four operands of a state in bf16 to [rows, pitch]: a quad's lanes exchange channels, so that each has 16
/// bytes of one row.
__device__ inline void storeOperands(const MmaA (&own)[4], __nv_bfloat16* to, int rows, int channels, int pitch,
                                     const DeltaLane& at) {
#pragma unroll
  for (int half = 0; half < 2; half++)
#pragma unroll
    for (int down = 0; down < 2; down++) {
      uint32_t blocks[4] = {own[2 * half].x[down], own[2 * half].x[2 + down], own[2 * half + 1].x[down],
                            own[2 * half + 1].x[2 + down]};
      transposeQuad(blocks, at.lane);
      const int row = at.group + 8 * down, channel = 32 * half + 8 * (at.lane & 3);
      if (row < rows && channel < channels)
        *reinterpret_cast<uint4*>(to + static_cast<int64_t>(row) * pitch + channel) =
            make_uint4(blocks[0], blocks[1], blocks[2], blocks[3]);
    }
}

}  // namespace longscan
