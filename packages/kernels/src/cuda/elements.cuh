#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

// Kernels over the elements of flat arrays: a functor says what happens to element i.
namespace longscan {

template <typename Body>
__global__ void __launch_bounds__(256) elementKernel(int64_t count, Body body) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
#pragma unroll 4
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) body(i);
}

template <typename Body>
cudaError_t forEachElement(int64_t count, Body body, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  constexpr int threads = 256;
  // Enough blocks for the largest GPU; each walks through the rest.
  const int64_t blocks = (count + threads - 1) / threads;
  elementKernel<<<static_cast<unsigned>(blocks < 2048 ? blocks : 2048), threads, 0, stream>>>(count, body);
  return cudaGetLastError();
}

// Arithmetic is in f32 whatever the elements are.
__device__ inline float load(const float* x, int64_t i) {
  return x[i];
}
__device__ inline float load(const __nv_bfloat16* x, int64_t i) {
  return __bfloat162float(x[i]);
}
__device__ inline void store(float* y, int64_t i, float value) {
  y[i] = value;
}
__device__ inline void store(__nv_bfloat16* y, int64_t i, float value) {
  y[i] = __float2bfloat16_rn(value);
}

/// Calls `body` with a null pointer of the element type.
template <typename Body>
cudaError_t withElement(int isBf16, Body body) {
  return isBf16 ? body(static_cast<__nv_bfloat16*>(nullptr)) : body(static_cast<float*>(nullptr));
}

}  // namespace longscan
