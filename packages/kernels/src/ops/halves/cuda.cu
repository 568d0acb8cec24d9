#include "cuda.h"

#include "cuda/halves.cuh"

// Done when a model is set up and when it is saved, so element by element is enough.

namespace longscan {

namespace {

constexpr int threads = 256;

unsigned blocksFor(int64_t count) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

__device__ int64_t element() {
  return static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
}

__global__ void __launch_bounds__(threads)
    joinKernel(const uint16_t* high, const uint16_t* low, float* values, int64_t count) {
  const int64_t i = element();
  if (i < count) values[i] = joinedHalves(high[i], low[i]);
}

__global__ void __launch_bounds__(threads)
    splitKernel(const float* values, uint16_t* high, uint16_t* low, int64_t count) {
  const int64_t i = element();
  if (i < count) splitInHalves(values[i], high[i], low[i]);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanHalvesJoin(const uint16_t* high, const uint16_t* low, float* values, int64_t count,
                       CUstream_st* stream) {
  if (count == 0) return cudaSuccess;
  joinKernel<<<blocksFor(count), threads, 0, stream>>>(high, low, values, count);
  return cudaGetLastError();
}

int longscanHalvesSplit(const float* values, uint16_t* high, uint16_t* low, int64_t count,
                        CUstream_st* stream) {
  if (count == 0) return cudaSuccess;
  splitKernel<<<blocksFor(count), threads, 0, stream>>>(values, high, low, count);
  return cudaGetLastError();
}
