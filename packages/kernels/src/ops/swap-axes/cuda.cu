#include "cuda.h"

#include "cuda/copy_rows.cuh"

namespace longscan {

namespace {

struct Swapped {
  const char* x;
  char* y;
  int64_t outer, inner, bytes;
  __device__ const char* source(int64_t row) const { return x + (row % outer * inner + row / outer) * bytes; }
  __device__ char* target(int64_t row) const { return y + row * bytes; }
};

/// Rows of one element: squares of 32 by 32 through shared memory, so that both sides are read and written
/// along their rows.
template <typename Element>
__global__ void transposeKernel(const Element* x, Element* y, int64_t outer, int64_t inner) {
  __shared__ Element square[32][33];
  const int64_t firstInner = static_cast<int64_t>(blockIdx.x) * 32,
                firstOuter = static_cast<int64_t>(blockIdx.y) * 32;
  for (int i = threadIdx.y; i < 32; i += 8) {
    const int64_t o = firstOuter + i, in = firstInner + threadIdx.x;
    if (o < outer && in < inner) square[i][threadIdx.x] = x[o * inner + in];
  }
  __syncthreads();
  for (int i = threadIdx.y; i < 32; i += 8) {
    const int64_t in = firstInner + i, o = firstOuter + threadIdx.x;
    if (o < outer && in < inner) y[in * outer + o] = square[threadIdx.x][i];
  }
}

template <typename Element>
cudaError_t transpose(const void* x, void* y, int64_t outer, int64_t inner, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((inner + 31) / 32), static_cast<unsigned>((outer + 31) / 32));
  transposeKernel<<<grid, dim3(32, 8), 0, stream>>>(static_cast<const Element*>(x), static_cast<Element*>(y),
                                                    outer, inner);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanSwapAxes(const void* x, void* y, int64_t outer, int64_t inner, int64_t bytes,
                     CUstream_st* stream) {
  if (outer == 0 || inner == 0) return cudaSuccess;
  const bool fits = outer <= 32 * int64_t{65535};
  if (bytes == 2 && fits) return transpose<uint16_t>(x, y, outer, inner, stream);
  if (bytes == 4 && fits) return transpose<uint32_t>(x, y, outer, inner, stream);
  const Swapped rows{static_cast<const char*>(x), static_cast<char*>(y), outer, inner, bytes};
  return copyRows(outer * inner, bytes, addressOf(x) | addressOf(y), rows, stream);
}
