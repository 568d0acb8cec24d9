#pragma once

#include "array.h"
#include "elements.cuh"
#include "values.cuh"

// Kernels that make one flat array of others, element by element: y[i] = f(x[i], ...). Arrays are f32 or
// bf16, each by itself; f is in f32.
namespace longscan {

/// `isAligned`: all arrays begin at 16 bytes.
template <typename Function, typename Y, typename... X>
__global__ void __launch_bounds__(256)
    mapKernel(int64_t count, bool isAligned, const Function f, Y* y, X*... x) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * valuesAtOnce;
  if (isAligned && first + valuesAtOnce <= count) {
    storeValues(y + first, mapValues(f, loadValues<valuesAtOnce>(x + first)...));
    return;
  }
  for (int64_t i = first; i < count && i < first + valuesAtOnce; i++)
    storeValues(y + i, mapValues(f, loadValues<1>(x + i)...));
}

/// y [count] = f(x, ...); y may be one of x.
template <typename Function, typename Y, typename... X>
cudaError_t mapElements(int64_t count, const Function& f, Y* y, cudaStream_t stream, X*... x) {
  if (count == 0) return cudaSuccess;
  constexpr int threads = 256;
  const int64_t perBlock = threads * valuesAtOnce;
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
