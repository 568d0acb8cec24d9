#pragma once

#include <cuda_bf16.h>

#include <cstdint>

// Rows of bf16 or f32 numbers, several of them in one access.

namespace longscan {

/// `count` neighbours, read and written at once; where they lie is aligned to their size.
template <typename Element, int count>
struct alignas(sizeof(Element) * count) Pack {
  Element x[count];
};

template <int count, typename Element>
__device__ inline Pack<Element, count> loadPack(const Element* from) {
  return *reinterpret_cast<const Pack<Element, count>*>(from);
}

template <int count, typename Element>
__device__ inline void storePack(Element* to, const Pack<Element, count>& pack) {
  *reinterpret_cast<Pack<Element, count>*>(to) = pack;
}

__device__ inline float toFloat(float x) {
  return x;
}
__device__ inline float toFloat(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

template <typename Element>
__device__ Element fromFloat(float x);
template <>
__device__ inline float fromFloat<float>(float x) {
  return x;
}
template <>
__device__ inline __nv_bfloat16 fromFloat<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

/// Blocks of threads over rows cut into `units`: the threads of a row lie side by side.
struct RowBlocks {
  static constexpr int threads = 256;
  unsigned unitsPerBlock = 1, rowsPerBlock;
  dim3 grid;

  RowBlocks(int64_t numRows, int64_t units) {
    while (unitsPerBlock < units && unitsPerBlock < threads) unitsPerBlock *= 2;
    rowsPerBlock = threads / unitsPerBlock;
    grid = dim3(static_cast<unsigned>((numRows + rowsPerBlock - 1) / rowsPerBlock),
                static_cast<unsigned>((units + unitsPerBlock - 1) / unitsPerBlock));
  }
  dim3 block() const { return dim3(unitsPerBlock, rowsPerBlock); }
};

/// Of the calling thread.
__device__ inline int64_t rowNumber() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
}
__device__ inline int64_t unitNumber() {
  return static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
}

}  // namespace longscan
