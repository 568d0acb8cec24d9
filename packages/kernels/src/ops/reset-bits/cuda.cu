#include "cuda.h"

#include <cuda_runtime.h>

namespace longscan {

namespace {

constexpr int threads = 256, tokensPerThread = 8;

/// A block has some tokens of a row. Whichever finds a start writes the same number.
__global__ void __launch_bounds__(threads) resetBitsKernel(const int32_t* resets, int64_t T, float* bits) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * threads * tokensPerThread + threadIdx.x;
  bool found = false;
#pragma unroll
  for (int i = 0; i < tokensPerThread; i++) {
    const int64_t t = first + i * threads;
    if (t < T && resets[blockIdx.y * T + t] != 0) found = true;
  }
  if (__syncthreads_or(found) && threadIdx.x == 0) bits[blockIdx.y] = 1.0f;
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanResetBits(const int32_t* resets, int64_t B, int64_t T, float* bits, CUstream_st* stream) {
  if (B > 65535) return cudaErrorInvalidValue;
  const cudaError_t error = cudaMemsetAsync(bits, 0, static_cast<size_t>(B) * sizeof(float), stream);
  if (error || B == 0 || T == 0) return error;
  constexpr int64_t blockTokens = threads * tokensPerThread;
  const dim3 grid(static_cast<unsigned>((T + blockTokens - 1) / blockTokens), static_cast<unsigned>(B));
  resetBitsKernel<<<grid, threads, 0, stream>>>(resets, T, bits);
  return cudaGetLastError();
}
