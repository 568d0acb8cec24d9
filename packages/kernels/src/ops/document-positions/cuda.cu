#include "cuda.h"

#include "cuda/elements.cuh"

// A token's position is its distance from the last start at or before it: the last start of each run of
// tokens first, then every block finds what came before its run, and its tokens their own.

namespace longscan {

namespace {

constexpr int runTokens = 1024;  // of a block, one a thread

int64_t numRuns(const LongscanDocumentPositions& call) {
  return (call.T + runTokens - 1) / runTokens;
}

/// The largest of the block's numbers up to each thread's own.
__device__ int lastUpTo(int own) {
  __shared__ int ofWarps[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(~0u, own, distance);
    if (lane >= distance) own = max(own, other);
  }
  __syncthreads();
  if (lane == 31) ofWarps[warp] = own;
  __syncthreads();
  for (int w = 0; w < warp; w++) own = max(own, ofWarps[w]);
  return own;
}

/// The token of the thread if a document starts there, else -1.
__device__ int startOf(const LongscanDocumentPositions& call, int64_t run) {
  const int64_t t = run * runTokens + threadIdx.x;
  const bool starts = call.resets && t < call.T && call.resets[blockIdx.y * call.T + t] != 0;
  return starts ? static_cast<int>(t) : -1;
}

__global__ void __launch_bounds__(runTokens)
    lastStartKernel(const LongscanDocumentPositions call, int* lastStarts) {
  const int last = lastUpTo(startOf(call, blockIdx.x));
  if (threadIdx.x == runTokens - 1)
    lastStarts[static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = last;
}

__global__ void __launch_bounds__(runTokens)
    positionsKernel(const LongscanDocumentPositions call, const int* lastStarts) {
  __shared__ int beforeRun;
  const int run = static_cast<int>(blockIdx.x);
  int earlier = -1;
  for (int i = threadIdx.x; i < run; i += runTokens)
    earlier = max(earlier, lastStarts[static_cast<int64_t>(blockIdx.y) * gridDim.x + i]);
  earlier = lastUpTo(earlier);
  if (threadIdx.x == runTokens - 1) beforeRun = earlier;
  __syncthreads();
  const int start = max(beforeRun, lastUpTo(startOf(call, run)));
  const int64_t t = static_cast<int64_t>(run) * runTokens + threadIdx.x;
  if (t >= call.T) return;
  const int open = call.before ? call.before[blockIdx.y] : call.start;
  call.positions[blockIdx.y * call.T + t] = static_cast<int>(t) - start + (start < 0 ? open - 1 : 0);
}

struct ChunkStarts {
  const int32_t* positions;
  int32_t chunk;
  int32_t* starts;
  __device__ void operator()(int64_t i) const { starts[i] = positions[i] % chunk == 0 ? 1 : 0; }
};

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanDocumentPositionsWorkspaceBytes(const LongscanDocumentPositions* call) {
  return sizeof(int) * static_cast<size_t>(call->B * numRuns(*call));
}

int longscanDocumentPositions(const LongscanDocumentPositions* call, CUstream_st* stream) {
  if (call->B == 0 || call->T == 0) return cudaSuccess;
  if (call->B > 65535) return cudaErrorInvalidValue;
  auto* const lastStarts = static_cast<int*>(call->workspace);
  const dim3 grid(static_cast<unsigned>(numRuns(*call)), static_cast<unsigned>(call->B));
  lastStartKernel<<<grid, runTokens, 0, stream>>>(*call, lastStarts);
  const cudaError_t error = cudaGetLastError();
  if (error) return error;
  positionsKernel<<<grid, runTokens, 0, stream>>>(*call, lastStarts);
  return cudaGetLastError();
}

int longscanChunkStarts(const int32_t* positions, int32_t chunk, int32_t* starts, int64_t count,
                        CUstream_st* stream) {
  return forEachElement(count, ChunkStarts{positions, chunk, starts}, stream);
}
