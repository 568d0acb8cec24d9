#include "rows.h"

#include "cuda/elements.cuh"
#include "cuda/pack.cuh"

namespace longscan {

namespace {

/// exp(g). expf errs to one side for small g, which thousands of factors would add up.
__device__ float decayOf(float g) {
  return g > -0.35f ? 1.0f + expm1f(g) : expf(g);
}

struct ScalarDecays {
  const float* g;
  float* decay;
  __device__ void operator()(int64_t i) const { decay[i] = decayOf(g[i]); }
};

/// to [numRows, pitch of width] = from [numRows, width] or its exp, zeros behind
template <typename Element, bool isLog>
__global__ void __launch_bounds__(RowBlocks::threads)
    copyRowsKernel(const Element* from, float* to, int64_t numRows, int width, int pitch) {
  const int64_t row = rowNumber();
  const int column = 4 * static_cast<int>(unitNumber());
  if (row >= numRows || column >= pitch) return;
  Pack<float, 4> numbers{};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (column + i >= width) continue;
    const float x = toFloat(from[row * width + column + i]);
    numbers.x[i] = isLog ? decayOf(x) : x;
  }
  storePack(to + row * pitch + column, numbers);
}

__global__ void __launch_bounds__(256) resetKernel(const int32_t* resets, int64_t T, float* reset) {
  int any = 0;
  for (int64_t t = threadIdx.x; resets && t < T; t += blockDim.x) any |= resets[blockIdx.x * T + t] != 0;
  any = __syncthreads_or(any);
  if (threadIdx.x == 0) reset[blockIdx.x] = any ? 1.0f : 0.0f;
}

}  // namespace

cudaError_t DeltaRowCopies::launch(cudaStream_t stream) const {
  for (int i = 0; i < numCopies_; i++) {
    const Copy& copy = copies_[i];
    const int pitch = deltaPitch(copy.width);
    const RowBlocks blocks(copy.numRows, pitch / 4);
    const auto launch = [&](auto kernel, auto from) {
      kernel<<<blocks.grid, blocks.block(), 0, stream>>>(from, copy.to, copy.numRows, copy.width, pitch);
    };
    if (copy.isBf16)
      launch(copyRowsKernel<__nv_bfloat16, false>, static_cast<const __nv_bfloat16*>(copy.from));
    else if (copy.isLog)
      launch(copyRowsKernel<float, true>, static_cast<const float*>(copy.from));
    else
      launch(copyRowsKernel<float, false>, static_cast<const float*>(copy.from));
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) return error;
  }
  if (scalarDecay_ == nullptr) return cudaSuccess;
  return forEachElement(numScalars(), ScalarDecays{call_.g, scalarDecay_}, stream);
}

cudaError_t launchDeltaReset(const int32_t* resets, int64_t B, int64_t T, float* reset, cudaStream_t stream) {
  resetKernel<<<static_cast<unsigned>(B), 256, 0, stream>>>(resets, T, reset);
  return cudaGetLastError();
}

}  // namespace longscan
