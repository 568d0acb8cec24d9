#include "cuda_query_blocks.h"
#include "cuda_range.cuh"

namespace longscan {

namespace {

/// A block of threads for each block of queries.
__global__ void queryBlocksKernel(const LongscanAttention c, const QueryBlocks blocks) {
  __shared__ BlockSight sight;
  const int64_t b = blockIdx.y, t = static_cast<int64_t>(blockIdx.x) * blocks.size + threadIdx.x;
  if (threadIdx.x == 0) sight = {static_cast<int>(c.S), 0, 0, static_cast<int>(c.S)};
  __syncthreads();
  KeyRange range{0, 0};
  if (t < c.T) {
    range = keyRange(c, b, t);
    if (!range.empty()) {
      atomicMin(&sight.first, range.first);
      atomicMax(&sight.end, range.end);
    }
    atomicMax(&sight.innerFirst, range.first);
    atomicMin(&sight.innerEnd, range.end);
  }
  blocks.ranges[b * blocks.pitch + t] = {range.first, range.end};
  __syncthreads();
  if (threadIdx.x == 0) {
    blocks.sights[b * gridDim.x + blockIdx.x] = sight;
    atomicMax(blocks.mostKeys, sight.end - sight.first);
  }
}

}  // namespace

cudaError_t launchQueryBlocks(const LongscanAttention& call, const QueryBlocks& blocks, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(blocks.pitch / blocks.size), static_cast<unsigned>(call.B));
  queryBlocksKernel<<<grid, blocks.size, 0, stream>>>(call, blocks);
  return cudaGetLastError();
}

}  // namespace longscan
