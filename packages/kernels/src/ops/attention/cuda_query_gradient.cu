#include "cuda_backward.h"
#include "cuda_output.cuh"

namespace longscan {

namespace {

/// A block of threads for each block of queries of a head: each thread has what a thread of the backward
/// kernel had.
__global__ void __launch_bounds__(256)
    queryGradientKernel(const LongscanAttention c, const LongscanAttentionBackward io,
                        const BackwardMemory memory) {
  const int64_t numBlocks = gridDim.x, i = blockIdx.x, head = blockIdx.y, b = head / c.H, h = head % c.H;
  const int part = threadIdx.x >> 7, lane = threadIdx.x & 31, size = memory.blocks.size;
  const BlockSight sight = memory.blocks.sights[b * numBlocks + i];
  float sums[8][4];
  const auto* from = reinterpret_cast<const float4*>(memory.dq + ((head * numBlocks + i) * 2 + part) * 4096);
#pragma unroll
  for (int n = 0; n < 8; n++) {
    const float4 x = sight.first < sight.end ? from[n * 128 + (threadIdx.x & 127)] : float4{0, 0, 0, 0};
    sums[n][0] = x.x, sums[n][1] = x.y, sums[n][2] = x.z, sums[n][3] = x.w;
  }
  // The parts are rows of a block of 128 queries, columns of one of 64.
  const int row = (size == 128 ? 64 * part : 0) + (threadIdx.x >> 5 & 3) * 16 + (lane >> 2);
  const int column0 = size == 128 ? 0 : 64 * part;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int64_t t = i * size + row + 8 * r;
    storeRow(sums, r, c.scale, io.dq, c.resultType, (b * c.T + t) * c.H + h, c.K, c.accumulate, t < c.T, lane,
             column0);
  }
}

}  // namespace

cudaError_t launchQueryGradient(const LongscanAttention& call, const LongscanAttentionBackward& io,
                                const BackwardMemory& memory, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(memory.blocks.pitch / memory.blocks.size),
                  static_cast<unsigned>(call.B * call.H));
  queryGradientKernel<<<grid, 256, 0, stream>>>(call, io, memory);
  return cudaGetLastError();
}

}  // namespace longscan
