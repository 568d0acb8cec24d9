#include "cuda.h"

#include "cuda/elements.cuh"

// Rows in parts, whose sums lie in memory until they are added up: a sum depends on the shape alone, and its
// error grows with the number of parts, not of rows.

namespace longscan {

namespace {

constexpr int64_t partRows = 512;
constexpr int rowsAtOnce = 32;  // of a block, 32 columns each

int64_t numParts(const LongscanSumRows& call) {
  return (call.rows + partRows - 1) / partRows;
}

template <typename X, typename Y>
__global__ void __launch_bounds__(32 * rowsAtOnce)
    sumKernel(const X* x, int64_t rows, int64_t cols, int64_t rowsEach, Y* sums, bool accumulate) {
  __shared__ float shares[rowsAtOnce][33];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * rowsEach, last = min(first + rowsEach, rows);
  float sum = 0.0f;
  if (column < cols) {
#pragma unroll 4
    for (int64_t row = first + threadIdx.y; row < last; row += rowsAtOnce)
      sum += load(x, row * cols + column);
  }
  shares[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= cols) return;
#pragma unroll
  for (int i = 1; i < rowsAtOnce; i++) sum += shares[i][threadIdx.x];
  const int64_t at = blockIdx.y * cols + column;
  store(sums, at, accumulate ? load(sums, at) + sum : sum);
}

template <typename X, typename Y>
cudaError_t launch(const X* x, int64_t rows, int64_t cols, int64_t rowsEach, Y* sums, bool accumulate,
                   cudaStream_t stream) {
  const int64_t parts = rows == 0 ? 1 : (rows + rowsEach - 1) / rowsEach;
  const dim3 grid(static_cast<unsigned>((cols + 31) / 32), static_cast<unsigned>(parts));
  sumKernel<<<grid, dim3(32, rowsAtOnce), 0, stream>>>(x, rows, cols, rowsEach, sums, accumulate);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanSumRowsWorkspaceBytes(const LongscanSumRows* call) {
  const int64_t parts = numParts(*call);
  return parts > 1 ? sizeof(float) * static_cast<size_t>(parts * call->cols) : 1;
}

int longscanSumRows(const LongscanSumRows* arguments, CUstream_st* stream) {
  const LongscanSumRows call = *arguments;
  const int64_t parts = numParts(call);
  if (call.cols == 0) return cudaSuccess;
  if (parts > 65535) return cudaErrorInvalidValue;
  auto* const sums = static_cast<float*>(call.workspace);
  const bool accumulate = call.accumulate != 0;
  if (parts > 1) {
    const cudaError_t error = withElement(call.isBf16, [=](auto* none) {
      using X = std::remove_pointer_t<decltype(none)>;
      return launch(static_cast<const X*>(call.x), call.rows, call.cols, partRows, sums, false, stream);
    });
    if (error) return error;
  }
  return withElement(call.targetIsBf16, [=](auto* noneOfTarget) {
    using Y = std::remove_pointer_t<decltype(noneOfTarget)>;
    auto* const target = static_cast<Y*>(call.target);
    if (parts > 1) return launch<float, Y>(sums, parts, call.cols, parts, target, accumulate, stream);
    return withElement(call.isBf16, [=](auto* none) {
      using X = std::remove_pointer_t<decltype(none)>;
      return launch(static_cast<const X*>(call.x), call.rows, call.cols, partRows, target, accumulate,
                    stream);
    });
  });
}
