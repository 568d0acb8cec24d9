#include "cuda.h"

#include "cuda/block_sum.cuh"
#include "cuda/pack.cuh"
#include "grad_norm.h"

// Blocks of `gradNormBlock` numbers, each a sum in memory, then one block that adds those up.

namespace longscan {

namespace {

constexpr int threads = 256;
constexpr int finalThreads = 1024;
constexpr int64_t partsPerBlock = 8192;

/// Packs of four where x begins at 16 bytes.
template <int width>
__global__ void __launch_bounds__(threads) squaresKernel(const float* x, int64_t count, double* sums) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * gradNormBlock;
  const int64_t end = min(begin + gradNormBlock, count);
  const int64_t packed = begin + (end - begin) / width * width;
  double shares[width] = {};
#pragma unroll 8
  for (int64_t at = begin + threadIdx.x * width; at < packed; at += threads * width) {
    const auto pack = loadPack<width>(x + at);
#pragma unroll
    for (int i = 0; i < width; i++) {
      const double value = pack.x[i];
      shares[i] = fma(value, value, shares[i]);
    }
  }
  if (packed + threadIdx.x < end) {
    const double value = x[packed + threadIdx.x];
    shares[0] = fma(value, value, shares[0]);
  }
  double sum = shares[0];
#pragma unroll
  for (int i = 1; i < width; i++) sum += shares[i];
  sum = sumOfBlock<threads>(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/// Blocks of `partsPerBlock` numbers.
__global__ void __launch_bounds__(threads) partsKernel(const double* parts, int64_t count, double* sums) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * partsPerBlock;
  const int64_t end = min(begin + partsPerBlock, count);
  double share = 0;
#pragma unroll 8
  for (int64_t i = begin + threadIdx.x; i < end; i += threads) share += parts[i];
  share = sumOfBlock<threads>(share);
  if (threadIdx.x == 0) sums[blockIdx.x] = share;
}

__global__ void __launch_bounds__(finalThreads) sumKernel(const double* sums, int64_t count, double* sum) {
  double share = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < count; i += finalThreads) share += sums[i];
  share = sumOfBlock<finalThreads>(share);
  if (threadIdx.x == 0) *sum = share;
}

__global__ void clipKernel(const double* sums, int64_t count, double maxNorm, const double* previous,
                           double* clip) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += sums[i];
  const double norm = sqrt(sum);
  const bool applies = isfinite(norm) && (previous == nullptr || previous[2] == 1.0);
  clip[0] = applies ? fmin(1.0, maxNorm / (norm + 1e-6)) : 0.0;
  clip[1] = norm;
  clip[2] = applies ? 1.0 : 0.0;
}

int64_t numBlocks(int64_t count) {
  return (count + gradNormBlock - 1) / gradNormBlock;
}

int64_t numPartBlocks(int64_t count) {
  return (count + partsPerBlock - 1) / partsPerBlock;
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanSumOfSquaresWorkspaceBytes(int64_t count) {
  return sizeof(double) * static_cast<size_t>(numBlocks(count) + 1);
}

int longscanSumOfSquares(const float* x, int64_t count, void* workspace, double* sum, CUstream_st* stream) {
  auto* const sums = static_cast<double*>(workspace);
  const int64_t blocks = numBlocks(count);
  if (blocks > 0) {
    const auto kernel = reinterpret_cast<uintptr_t>(x) % 16 == 0 ? squaresKernel<4> : squaresKernel<1>;
    kernel<<<static_cast<unsigned>(blocks), threads, 0, stream>>>(x, count, sums);
  }
  sumKernel<<<1, finalThreads, 0, stream>>>(sums, blocks, sum);
  return cudaGetLastError();
}

size_t longscanSumOfPartsWorkspaceBytes(int64_t count) {
  return sizeof(double) * static_cast<size_t>(numPartBlocks(count));
}

int longscanSumOfParts(const double* parts, int64_t count, void* workspace, double* sum,
                       CUstream_st* stream) {
  auto* const sums = static_cast<double*>(workspace);
  const int64_t blocks = numPartBlocks(count);
  if (blocks > 0) partsKernel<<<static_cast<unsigned>(blocks), threads, 0, stream>>>(parts, count, sums);
  sumKernel<<<1, finalThreads, 0, stream>>>(sums, blocks, sum);
  return cudaGetLastError();
}

int longscanClipFactor(const double* sums, int64_t count, double maxNorm, const double* previous,
                       double* clip, CUstream_st* stream) {
  clipKernel<<<1, 1, 0, stream>>>(sums, count, maxNorm, previous, clip);
  return cudaGetLastError();
}
