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
  cudaError_t error = mapRows(maps.q, call, call.q);
  if (error == cudaSuccess) error = mapRows(maps.k, call, call.k);
  if (error == cudaSuccess) error = mapRows(maps.v, call, call.v);
  if (error == cudaSuccess) error = mapRows(maps.dO, call, call.dO);
  if (error != cudaSuccess) return error;
  return launchSegments(retraceKernel<DK, DV>, call, maps, RetraceFrame<DK, DV>::threads,
                        RetraceLayout<DK, DV>::bytes, stream);
}

}  // namespace

bool retraceFits(int K, int V) {
  return segmentsFit(K, V, RetraceLayout<128, 128>::bytes);
}

cudaError_t launchRetrace(const RetraceCall& call, cudaStream_t stream) {
  if (call.K <= 64) return launch<64, 64>(call, stream);
  return call.V <= 64 ? launch<128, 64>(call, stream) : launch<128, 128>(call, stream);
}

}  // namespace longscan
