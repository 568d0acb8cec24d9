#include "cuda_retrace.cuh"

#include "cuda/tensor_map.h"

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

cudaError_t makeMaps(const RetraceCall& call, RetraceMaps& maps) {
  const auto map = [&](CUtensorMap& to, const SweepRows& rows) {
    return mapTensor(to, {rows.data, call.B, call.T, rows.heads, rows.channels, rows.pitch}, 64, chunkTokens);
  };
  cudaError_t error = map(maps.q, call.q);
  if (error == cudaSuccess) error = map(maps.k, call.k);
  if (error == cudaSuccess) error = map(maps.v, call.v);
  if (error == cudaSuccess) error = map(maps.dO, call.dO);
  return error;
}

template <int DK, int DV>
cudaError_t launch(const RetraceCall& call, cudaStream_t stream) {
  constexpr int bytes = RetraceLayout<DK, DV>::bytes;
  const auto kernel = retraceKernel<DK, DV>;
  RetraceMaps maps{};
  cudaError_t error = makeMaps(call, maps);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  kernel<<<dim3(static_cast<unsigned>(call.B), call.H, call.numSegments), RetraceFrame<DK, DV>::threads,
           bytes, stream>>>(call, maps);
  return cudaGetLastError();
}

}  // namespace

bool retraceFits(int K, int V) {
  if (K > 128 || V > 128 || (K <= 64 && V > 64) || !canMapTensors()) return false;
  int device = 0, major = 0, perBlock = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&perBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess &&
         major == 9 && perBlock >= RetraceLayout<128, 128>::bytes;
}

cudaError_t launchRetrace(const RetraceCall& call, cudaStream_t stream) {
  if (call.K <= 64) return launch<64, 64>(call, stream);
  return call.V <= 64 ? launch<128, 64>(call, stream) : launch<128, 128>(call, stream);
}

}  // namespace longscan
