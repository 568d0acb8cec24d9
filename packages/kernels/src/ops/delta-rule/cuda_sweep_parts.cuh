#pragma once

#include "cuda/warpgroup.cuh"
#include "cuda_lane.cuh"

// How the warpgroups of a sweep over chunks hold and move their data.

namespace longscan {

/// Sums of [64, 64] over a warpgroup: of a warp's 16 rows a lane has lane/4 (+ 8), of the columns 8 n +
/// 2*(lane%4) + {0, 1}.
struct WarpSums {
  Sums x;

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 32; i++) x[i / 4][i % 4] = 0.0f;
  }

  __device__ void scale(float factor) {
#pragma unroll
    for (int i = 0; i < 32; i++) x[i / 4][i % 4] *= factor;
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

  /// From or to f32 [rows, pitch] at the warp's first element; rows and columns that are not there are zero.
  __device__ void load(const float* from, int rows, int columns, int pitch, const DeltaLane& at) {
    clear();
    if (from == nullptr) return;
    eachPair(rows, columns, pitch, at, [&](float& low, float& high, int64_t place) {
      const float2 both = *reinterpret_cast<const float2*>(from + place);
      low = both.x;
      high = both.y;
    });
  }
  __device__ void store(float* to, int rows, int columns, int pitch, const DeltaLane& at) {
    eachPair(rows, columns, pitch, at, [&](float& low, float& high, int64_t place) {
      *reinterpret_cast<float2*>(to + place) = make_float2(low, high);
    });
  }

 private:
  template <typename Visit>
  __device__ void eachPair(int rows, int columns, int pitch, const DeltaLane& at, Visit&& visit) {
#pragma unroll
    for (int i = 0; i < 16; i++) {
      const int row = at.group + 8 * (i % 2), column = 8 * (i / 2) + at.pairOf;
      if (row < rows && column < columns)
        visit(x[i / 2][2 * (i % 2)], x[i / 2][2 * (i % 2) + 1], static_cast<int64_t>(row) * pitch + column);
    }
  }
};

/// Columns [16 k, 16 k + 16) as first operand, each times factor[column] before they are rounded.
__device__ inline MmaA scaledOperand(const Sums& sum, int k, const float* factor, int pairOf) {
  MmaA scaled;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 f = *reinterpret_cast<const float2*>(factor + 16 * k + 8 * (i / 2) + pairOf);
    const float* const both = &sum[2 * k + i / 2][2 * (i % 2)];
    scaled.x[i] = pack(both[0] * f.x, both[1] * f.y);
  }
  return scaled;
}

/// The same of an operand that is rounded already.
__device__ inline MmaA scaledOperand(const MmaA& a, int k, const float* factor, float scale, int pairOf) {
  MmaA scaled;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 f = *reinterpret_cast<const float2*>(factor + 16 * k + 8 * (i / 2) + pairOf);
    scaled.x[i] = pack(lowHalf(a.x[i]) * (scale * f.x), highHalf(a.x[i]) * (scale * f.y));
  }
  return scaled;
}

__device__ inline void negate(MmaA& a) {
#pragma unroll
  for (int i = 0; i < 4; i++) a.x[i] ^= 0x80008000u;
}

/// Rows of sums, 64 columns, to bf16 memory: a quad's lanes exchange columns, so that each stores 16 bytes.
/// place(row) is where a row begins, or null.
template <typename Place>
__device__ void storeRows(const Sums& sum, int row0, int columns, const DeltaLane& at, Place&& place) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    __nv_bfloat16* const to = place(row0 + at.group + 8 * i);
#pragma unroll
    for (int n = 0; n < 8; n += 4) {
      uint32_t packed[4];
#pragma unroll
      for (int j = 0; j < 4; j++) packed[j] = pack(sum[n + j][2 * i], sum[n + j][2 * i + 1]);
      transposeQuad(packed, at.lane);
      const int column = 8 * (n + (at.lane & 3));
      if (to != nullptr && column < columns)
        *reinterpret_cast<uint4*>(to + column) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
  }
}

/// The columns of a tile, 16 of them a warp, as rows of bf16 memory.
template <typename Place>
__device__ void storeColumns(Tile<64> tile, int column0, int rows, const DeltaLane& at, Place&& place) {
#pragma unroll
  for (int unit = 0; unit < 2; unit++) {
    __nv_bfloat16* const to = place(column0 + 8 * unit + at.group);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t packed[4];
      loadMatricesTransposed(packed, tile.address(32 * half + at.lane, column0 / 8 + unit));
      transposeQuad(packed, at.lane);
      const int row = 32 * half + 8 * (at.lane & 3);
      if (to != nullptr && row < rows)
        *reinterpret_cast<uint4*>(to + row) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
  }
}

__device__ inline uint4 loadShared16(uint32_t address) {
  uint4 value;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(address));
  return value;
}

/// A tile as it is, to [rows, pitch] in bf16; 128 threads.
__device__ inline void storeTile(Tile<64> tile, __nv_bfloat16* to, int rows, int columns, int pitch,
                                 int thread) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int row = thread / 8 + 16 * i, unit = thread % 8;
    const uint4 value = loadShared16(tile.address(row, unit));
    if (row < rows && 8 * unit < columns)
      *reinterpret_cast<uint4*>(to + static_cast<int64_t>(row) * pitch + 8 * unit) = value;
  }
}

}  // namespace longscan
