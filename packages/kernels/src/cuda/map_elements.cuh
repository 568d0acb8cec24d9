#pragma once

#include <type_traits>

#include "array.h"
#include "elements.cuh"
#include "pack.cuh"

// Kernels that make one flat array of others, element by element: y[i] = f(x[i], ...). Arrays are f32 or
// bf16, each by itself; f is in f32.
namespace longscan {

/// Neighbours that a thread has, read and written 16 bytes at a time.
constexpr int mappedAtOnce = 8;

struct MappedValues {
  float x[mappedAtOnce];
};

__device__ inline MappedValues loadMapped(const float* from) {
  MappedValues values;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const auto pack = loadPack<4>(from + 4 * half);
#pragma unroll
    for (int i = 0; i < 4; i++) values.x[4 * half + i] = pack.x[i];
  }
  return values;
}

__device__ inline MappedValues loadMapped(const __nv_bfloat16* from) {
  const auto pack = loadPack<mappedAtOnce>(from);
  MappedValues values;
#pragma unroll
  for (int i = 0; i < mappedAtOnce; i++) values.x[i] = toFloat(pack.x[i]);
  return values;
}

__device__ inline void storeMapped(float* to, const MappedValues& values) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    Pack<float, 4> pack;
#pragma unroll
    for (int i = 0; i < 4; i++) pack.x[i] = values.x[4 * half + i];
    storePack<4>(to + 4 * half, pack);
  }
}

__device__ inline void storeMapped(__nv_bfloat16* to, const MappedValues& values) {
  Pack<__nv_bfloat16, mappedAtOnce> pack;
#pragma unroll
  for (int i = 0; i < mappedAtOnce; i++) pack.x[i] = fromFloat<__nv_bfloat16>(values.x[i]);
  storePack<mappedAtOnce>(to, pack);
}

template <typename Function, typename... Values>
__device__ inline MappedValues applyMapped(const Function& f, const Values&... values) {
  MappedValues results;
#pragma unroll
  for (int i = 0; i < mappedAtOnce; i++) results.x[i] = f(values.x[i]...);
  return results;
}

/// `isAligned`: all arrays begin at 16 bytes.
template <typename Function, typename Y, typename... X>
__global__ void __launch_bounds__(256)
    mapKernel(int64_t count, bool isAligned, const Function f, Y* y, X*... x) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * mappedAtOnce;
  if (isAligned && first + mappedAtOnce <= count) {
    storeMapped(y + first, applyMapped(f, loadMapped(x + first)...));
    return;
  }
  for (int64_t i = first; i < count && i < first + mappedAtOnce; i++) store(y, i, f(load(x, i)...));
}

/// y [count] = f(x, ...); y may be one of x.
template <typename Function, typename Y, typename... X>
cudaError_t mapElements(int64_t count, const Function& f, Y* y, cudaStream_t stream, X*... x) {
  if (count == 0) return cudaSuccess;
  constexpr int threads = 256;
  const int64_t perBlock = threads * mappedAtOnce;
  const bool isAligned = ((reinterpret_cast<uintptr_t>(x) | ...) | reinterpret_cast<uintptr_t>(y)) % 16 == 0;
  mapKernel<<<static_cast<unsigned>((count + perBlock - 1) / perBlock), threads, 0, stream>>>(
      count, isAligned, f, y, x...);
  return cudaGetLastError();
}

/// Calls `body` with the array as one of its type.
template <typename Body>
cudaError_t withArray(const LongscanArray& array, Body body) {
  return array.isBf16 ? body(static_cast<__nv_bfloat16*>(array.data)) : body(static_cast<float*>(array.data));
}

}  // namespace longscan
