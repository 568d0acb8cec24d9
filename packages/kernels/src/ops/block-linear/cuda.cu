#include "cuda.h"

#include "../../cuda/elements.cuh"
#include "../../cuda/pack.cuh"

// A thread has one block of features: its matrix, or the sum of its gradient, stays in registers while the
// thread walks through rows. Neighbours have neighbouring blocks, so a row is read in one piece.

namespace longscan {

namespace {

constexpr int threads = 128;
constexpr int size = 4;
constexpr int64_t rowsOfProduct = 32;
constexpr int64_t rowsOfSum = 128;

/// The rows of the calling thread's share, and its block of features.
struct Share {
  int64_t first, last, block;
  __device__ Share(int64_t numRows, int64_t rowsEach)
      : first(blockIdx.x * rowsEach),
        last(min(first + rowsEach, numRows)),
        block(static_cast<int64_t>(blockIdx.y) * threads + threadIdx.x) {}
};

int64_t numShares(int64_t numRows, int64_t rowsEach) {
  return (numRows + rowsEach - 1) / rowsEach;
}

dim3 gridOf(int64_t numRows, int64_t rowsEach, int64_t G) {
  return dim3(static_cast<unsigned>(numShares(numRows, rowsEach)),
              static_cast<unsigned>((G + threads - 1) / threads));
}

template <typename Element>
__global__ void __launch_bounds__(threads) productKernel(const LongscanSmallBlocks call) {
  const Share share(call.numRows, rowsOfProduct);
  if (share.block >= call.G) return;
  const auto* weight = static_cast<const Element*>(call.weight) + share.block * size * size;
  float W[size][size];
#pragma unroll
  for (int i = 0; i < size; i++) {
    const auto row = loadPack<size>(weight + i * size);
#pragma unroll
    for (int j = 0; j < size; j++) W[i][j] = toFloat(row.x[j]);
  }
  if (call.transposed) {
#pragma unroll
    for (int i = 0; i < size; i++) {
#pragma unroll
      for (int j = 0; j < i; j++) {
        const float upper = W[j][i];
        W[j][i] = W[i][j];
        W[i][j] = upper;
      }
    }
  }
#pragma unroll 4
  for (int64_t row = share.first; row < share.last; row++) {
    const int64_t at = (row * call.G + share.block) * size;
    const auto from = loadPack<size>(static_cast<const Element*>(call.from) + at);
    Pack<Element, size> to;
#pragma unroll
    for (int i = 0; i < size; i++) {
      float sum = 0.0f;
#pragma unroll
      for (int j = 0; j < size; j++) sum += W[i][j] * toFloat(from.x[j]);
      to.x[i] = fromFloat<Element>(sum);
    }
    storePack(static_cast<Element*>(call.to) + at, to);
  }
}

/// Each share's part of the sum, to [shares, G, 4, 4].
template <typename Element>
__global__ void __launch_bounds__(threads) partsKernel(const LongscanSmallBlocksGradient call) {
  const Share share(call.numRows, rowsOfSum);
  if (share.block >= call.G) return;
  Pack<float, size> sums[size] = {};
#pragma unroll 4
  for (int64_t row = share.first; row < share.last; row++) {
    const int64_t at = (row * call.G + share.block) * size;
    const auto x = loadPack<size>(static_cast<const Element*>(call.x) + at);
    const auto dy = loadPack<size>(static_cast<const Element*>(call.dy) + at);
#pragma unroll
    for (int i = 0; i < size; i++) {
#pragma unroll
      for (int j = 0; j < size; j++) sums[i].x[j] += toFloat(dy.x[i]) * toFloat(x.x[j]);
    }
  }
  float* part = call.workspace + (blockIdx.x * call.G + share.block) * size * size;
#pragma unroll
  for (int i = 0; i < size; i++) storePack(part + i * size, sums[i]);
}

/// Adds the parts up, in their order.
template <typename Target>
struct AddParts {
  const float* parts;
  int64_t numParts, count;
  bool accumulate;
  Target* target;
  __device__ void operator()(int64_t i) const {
    float sum = 0.0f;
#pragma unroll 8
    for (int64_t part = 0; part < numParts; part++) sum += parts[part * count + i];
    store(target, i, accumulate ? load(target, i) + sum : sum);
  }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

int longscanSmallBlocks(const LongscanSmallBlocks* call, CUstream_st* stream) {
  if (call->numRows == 0) return cudaSuccess;
  const dim3 grid = gridOf(call->numRows, rowsOfProduct, call->G);
  return withElement(call->isBf16, [=](auto* none) {
    productKernel<std::remove_pointer_t<decltype(none)>><<<grid, threads, 0, stream>>>(*call);
    return cudaGetLastError();
  });
}

size_t longscanSmallBlocksWorkspaceBytes(const LongscanSmallBlocksGradient* call) {
  const int64_t shares = numShares(call->numRows, rowsOfSum);
  return sizeof(float) * static_cast<size_t>((shares > 0 ? shares : 1) * call->G * size * size);
}

int longscanSmallBlocksGradient(const LongscanSmallBlocksGradient* call, CUstream_st* stream) {
  if (call->numRows > 0) {
    const dim3 grid = gridOf(call->numRows, rowsOfSum, call->G);
    const cudaError_t status = withElement(call->isBf16, [=](auto* none) {
      partsKernel<std::remove_pointer_t<decltype(none)>><<<grid, threads, 0, stream>>>(*call);
      return cudaGetLastError();
    });
    if (status != cudaSuccess) return status;
  }
  return withElement(call->targetIsBf16, [=](auto* none) {
    using Target = std::remove_pointer_t<decltype(none)>;
    const int64_t count = call->G * size * size;
    const AddParts<Target> body{call->workspace, numShares(call->numRows, rowsOfSum), count,
                                call->accumulate != 0, static_cast<Target*>(call->dw)};
    return forEachElement(count, body, stream);
  });
}
