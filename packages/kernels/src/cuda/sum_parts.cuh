#pragma once

#include "pack.cuh"

// Sums of equally long shares that blocks left in memory, always added in the same order.

namespace longscan {

/// Shares of [rows, length] numbers each. The sums go to [rows / inner, length, inner]: the last `inner` rows
/// that belong together lie side by side.
struct SumPartsCall {
  const float* parts;
  int64_t numParts, rows, length, inner;
};

/// 32 sums a block; a thread adds every 32nd share of one, then those of a sum are added up.
template <typename Element>
__global__ void __launch_bounds__(1024) sumPartsKernel(const SumPartsCall call, Element* sums) {
  __shared__ float shares[32][33];
  const int64_t size = call.rows * call.length;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  float sum = 0.0f;
  if (at < size) {
#pragma unroll 4
    for (int64_t part = threadIdx.y; part < call.numParts; part += 32) sum += call.parts[part * size + at];
  }
  shares[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || at >= size) return;
  for (int i = 1; i < 32; i++) sum += shares[i][threadIdx.x];
  const int64_t row = at / call.length, place = at % call.length;
  sums[(row / call.inner * call.length + place) * call.inner + row % call.inner] = fromFloat<Element>(sum);
}

template <typename Element>
cudaError_t launchSumParts(const SumPartsCall& call, Element* sums, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((call.rows * call.length + 31) / 32);
  sumPartsKernel<Element><<<blocks, dim3(32, 32), 0, stream>>>(call, sums);
  return cudaGetLastError();
}

}  // namespace longscan
