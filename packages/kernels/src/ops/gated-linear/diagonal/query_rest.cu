#include "place.cuh"
#include "round.cuh"

namespace longscan {

namespace {

constexpr int panel = 64;
/// Only memory is waited for: enough blocks to keep it busy.
constexpr int restBlocks = 5;

/// 64 channels of a chunk of one head.
template <bool bonus>
__global__ void __launch_bounds__(diagonalThreads, restBlocks)
    queryRestKernel(const __grid_constant__ DiagonalCall call) {
  __shared__ __align__(16) float gates[FloatTile<panel>::bytes / sizeof(float)];
  __shared__ float totals[diagonalThreads];
  const FloatTile<panel> c{gates};
  const int panels = (call.K + panel - 1) / panel, channel = static_cast<int>(blockIdx.x) % panels * panel;
  const ChunkPlace at(call, blockIdx.x / panels);
  fillGates<diagonalThreads>(c, call.g + at.place, call.H * call.K, channel, call.K, at.length);
  commitCopies();

  const int unit = threadIdx.x % 8, column = channel + 8 * unit;
  const auto rowOf = [](int i) { return static_cast<int>(threadIdx.x) / 8 + 32 * i; };
  const auto exists = [&](int i) { return rowOf(i) < at.length && column < call.K; };
  uint4 queries[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const __nv_bfloat16* const from =
        call.q + at.sharedPlace + static_cast<int64_t>(rowOf(i)) * (call.G * call.K) + column;
    queries[i] = exists(i) ? *reinterpret_cast<const uint4*>(from) : uint4{};
  }
  const uint64_t starts = at.starts(call, threadIdx.x & 31);
  waitForCopies<0>();
  __syncthreads();
  sumGates<diagonalThreads>(c, starts, totals);

#pragma unroll
  for (int i = 0; i < 2; i++) {
    const uint32_t both[4] = {queries[i].x, queries[i].y, queries[i].z, queries[i].w};
    float here[8], decayed[8];
    loadEightOfRead<bonus>(here, c, starts, rowOf(i), 8 * unit);
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float query = n % 2 == 0 ? lowHalf(both[n / 2]) : highHalf(both[n / 2]);
      decayed[n] = decayQuery(query, call.scale, here[n]);
    }
    uint4 rounded, rest;
    roundEight(decayed, rounded, rest);
    if (exists(i))
      storeEight(call.queryRest + at.place + static_cast<int64_t>(rowOf(i)) * (call.H * call.K) + column,
                 rest);
  }
}

}  // namespace

cudaError_t launchQueryRest(const DiagonalCall& call, cudaStream_t stream) {
  const unsigned panels = (call.K + panel - 1) / panel;
  const auto kernel = call.bonus ? queryRestKernel<true> : queryRestKernel<false>;
  kernel<<<headChunksOf(call) * panels, diagonalThreads, 0, stream>>>(call);
  return cudaGetLastError();
}

}  // namespace longscan
