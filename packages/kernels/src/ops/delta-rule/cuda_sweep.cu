#include "cuda_sweep.cuh"

namespace longscan {

namespace {

template <int KN, DeltaRole role, bool diagonal>
__device__ void runDeltaSweep(const DeltaSweepCall& call) {
  extern __shared__ __align__(1024) unsigned char shared[];
  DeltaSweep<KN, role, diagonal> sweep(call, shared);
  if (warpgroupNumber() == 0)
    sweep.serve();
  else
    sweep.chain();
}

template <int KN, bool diagonal>
__global__ void __launch_bounds__(sweepThreads, 1)
    forwardKernel(const __grid_constant__ DeltaSweepCall call) {
  runDeltaSweep<KN, DeltaRole::output, diagonal>(call);
}

template <int KN, bool diagonal>
__global__ void __launch_bounds__(sweepThreads, 1)
    backwardKernel(const __grid_constant__ DeltaSweepCall call) {
  if (blockIdx.y == 0)
    runDeltaSweep<KN, DeltaRole::adjoint, diagonal>(call);
  else
    runDeltaSweep<KN, DeltaRole::states, diagonal>(call);
}

template <int KN, bool diagonal>
cudaError_t launchOf(const DeltaSweepCall& call, bool backward, cudaStream_t stream) {
  constexpr int bytes = DeltaSweepLayout<KN, DeltaRole::adjoint, diagonal>::bytes;
  static_assert(bytes == DeltaSweepLayout<KN, DeltaRole::output, diagonal>::bytes, "the same stages");
  const auto kernel = backward ? backwardKernel<KN, diagonal> : forwardKernel<KN, diagonal>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.B * call.H * ((call.V + sweepValues - 1) / sweepValues);
  kernel<<<dim3(static_cast<unsigned>(blocks), backward ? 2 : 1), sweepThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

template <bool diagonal>
cudaError_t launch(const DeltaSweepCall& call, bool backward, cudaStream_t stream) {
  if (call.K <= 64) return launchOf<1, diagonal>(call, backward, stream);
  return call.K <= 128 ? launchOf<2, diagonal>(call, backward, stream)
                       : launchOf<4, diagonal>(call, backward, stream);
}

}  // namespace

cudaError_t launchDeltaForwardSweep(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<true>(call, false, stream) : launch<false>(call, false, stream);
}

cudaError_t launchDeltaBackwardSweeps(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<true>(call, true, stream) : launch<false>(call, true, stream);
}

}  // namespace longscan
