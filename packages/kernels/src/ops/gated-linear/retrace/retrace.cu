#include "retrace.cuh"

#include "../segments/launch.cuh"

namespace longscan {

namespace {

/// For Hopper.
template <int DK, int DV>
__global__ void __launch_bounds__(RetraceFrame<DK, DV>::threads, residentBlocks(DK, DV))
    retraceKernel(const __grid_constant__ RetraceCall call, const __grid_constant__ RetraceMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  using Frame = RetraceFrame<DK, DV>;
  Frame::initBarriers(shared);
  __syncthreads();
  Retrace<DK, DV>(Frame(call, maps, shared)).compute();
#endif
}

template <int DK, int DV>
cudaError_t launch(const RetraceCall& call, cudaStream_t stream) {
  RetraceMaps maps{};
  const cudaError_t error = mapTensors({{maps.q, mappedRows(call.q, call.B, call.T)},
                                        {maps.k, mappedRows(call.k, call.B, call.T)},
                                        {maps.v, mappedRows(call.v, call.B, call.T)},
                                        {maps.dO, mappedRows(call.dO, call.B, call.T)}},
                                       64, chunkTokens);
  if (error != cudaSuccess) return error;
  return launchSegments(retraceKernel<DK, DV>, call, maps, RetraceFrame<DK, DV>::threads,
                        RetraceLayout<DK, DV>::bytes, stream);
}

}  // namespace

bool retraceFits(int K, int V) {
  return segmentsFit(K, V, RetraceLayout<128, 128>::bytes);
}

cudaError_t launchRetrace(const RetraceCall& call, cudaStream_t stream) {
  return withPanels(call.K, call.V, [&](auto DK, auto DV) { return launch<DK, DV>(call, stream); });
}

}  // namespace longscan
