#pragma once

// Sums over the threads of a block, in the same order in every run.

namespace longscan {

/// All `count` threads of the block call it, once; the sum is the first one's.
template <int count>
__device__ inline double sumOfBlock(double value) {
  __shared__ double shares[count / 32];
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  if (threadIdx.x % 32 == 0) shares[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x >= 32) return 0;
  value = threadIdx.x < count / 32 ? shares[threadIdx.x] : 0.0;
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  return value;
}

}  // namespace longscan
