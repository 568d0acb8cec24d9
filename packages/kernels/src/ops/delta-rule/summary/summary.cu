#include "summary.h"

#include "../sweep/call.h"
#include "chain.cuh"
#include "fold.h"
#include "load.cuh"

namespace longscan {

namespace {

/// Of a thread, from 168 each at the start.
template <int KN>
constexpr int chainRegisters = KN <= 2 ? 216 : 224;
template <int KN>
constexpr int loaderRegisters = (summaryGroups + 1) * 168 - summaryGroups* chainRegisters<KN>;

template <int KN, bool diagonal>
__global__ void __launch_bounds__(summaryThreads, 1)
    summaryKernel(const __grid_constant__ DeltaSummaryCall call, const __grid_constant__ SummaryMaps maps,
                  int stages) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  const SummaryBlock<KN> block(call, maps, stages, shared);
  if (threadIdx.x == 0) block.initBarriers();
  if constexpr (diagonal) block.clearAbsentDecays();
  __syncthreads();
  const int group = warpgroupNumber();
  if (group == summaryGroups) {
    shrinkRegisters<loaderRegisters<KN>>();
    SummaryLoader<KN, diagonal>(block).run();
  } else {
    growRegisters<chainRegisters<KN>>();
    if (group < block.groups()) SummaryChain<KN, diagonal>(block, group).run();
  }
#endif
}

template <int KN, bool diagonal>
cudaError_t launchOf(const DeltaSummaryCall& call, const SummaryMaps& maps, int sharedBytes,
                     cudaStream_t stream) {
  using Layout = SummaryLayout<KN>;
  const int stages = Layout::stagesIn(sharedBytes), bytes = Layout::fixed + stages * Layout::stage;
  const auto kernel = summaryKernel<KN, diagonal>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.B * call.H * call.numSegments * summaryBlocksOfHead(call.K, call.V);
  kernel<<<static_cast<unsigned>(blocks), summaryThreads, bytes, stream>>>(call, maps, stages);
  return cudaGetLastError();
}

template <bool diagonal>
cudaError_t launch(const DeltaSummaryCall& call, const SummaryMaps& maps, cudaStream_t stream) {
  DeltaDevice device;
  const cudaError_t error = deltaDevice(device);
  if (error != cudaSuccess) return error;
  const int bytes = device.sharedBytes;
  if (call.K <= 64) return launchOf<1, diagonal>(call, maps, bytes, stream);
  return call.K <= 128 ? launchOf<2, diagonal>(call, maps, bytes, stream)
                       : launchOf<4, diagonal>(call, maps, bytes, stream);
}

cudaError_t makeMaps(const DeltaSummaryCall& call, SummaryMaps& maps) {
  const int64_t heads = call.B * call.H, rows = (call.T + tileTokens - 1) / tileTokens * tileTokens;
  return mapTensors({{maps.keys, {call.keys, call.B, call.T, call.H, call.K}},
                     {maps.w, {call.chunks.w, heads, rows, 1, call.K}},
                     {maps.values, {call.chunks.u, heads, rows, 1, call.V}}},
                    64, tileTokens);
}

}  // namespace

bool deltaSummarizes() {
  int device = 0, major = 0;
  return canMapTensors() && cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major == 9;
}

cudaError_t launchDeltaEffects(const LongscanDeltaRule& call, const DeltaChunks& chunks,
                               const DeltaSegments& segments, float* states, float* factors,
                               cudaStream_t stream) {
  const bool diagonal = call.gate == longscanDeltaGateDiagonal;
  const DeltaSummaryCall summary{call.B,
                                 call.T,
                                 call.H,
                                 call.K,
                                 call.V,
                                 diagonal ? chunks.writeKeys : bf16(call.k),
                                 call.resets,
                                 chunks,
                                 static_cast<int>(segments.cut.tokens / tileTokens),
                                 segments.cut.count,
                                 states,
                                 factors,
                                 segments.starts};
  SummaryMaps maps;
  const cudaError_t error = makeMaps(summary, maps);
  if (error != cudaSuccess) return error;
  return diagonal ? launch<true>(summary, maps, stream) : launch<false>(summary, maps, stream);
}

cudaError_t launchDeltaSummary(const LongscanDeltaRule& call, const LongscanDeltaRuleSummary& io,
                               cudaStream_t stream) {
  const DeltaSegments segments(call, io.segments);
  const int count = segments.cut.count;
  float* const states = count == 1 ? io.state : segments.states;
  float* const factors = count == 1 ? io.factor : segments.factors;
  cudaError_t error =
      launchDeltaEffects(call, deltaPreparedChunks(call, io.kept), segments, states, factors, stream);
  if (error == cudaSuccess && count > 1)
    error = launchDeltaCompose(foldOf(call, segments, segments.states), io.state, io.factor, stream);
  if (error != cudaSuccess || io.reset == nullptr) return error;
  return launchDeltaResets(segments.starts, call.B, call.H, count, io.reset, stream);
}

}  // namespace longscan
