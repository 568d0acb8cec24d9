#include "cuda_sweep.cuh"

namespace longscan {

namespace {

template <int KW>
__global__ void __launch_bounds__(deltaSweepThreads) forwardKernel(const __grid_constant__ DeltaSweepCall call) {
  runDeltaSweep<KW, DeltaRole::output>(call);
}

template <int KW>
__global__ void __launch_bounds__(deltaSweepThreads) backwardKernel(const __grid_constant__ DeltaSweepCall call) {
  if (blockIdx.y == 0)
    runDeltaSweep<KW, DeltaRole::adjoint>(call);
  else
    runDeltaSweep<KW, DeltaRole::states>(call);
}

template <int KW>
cudaError_t launchOf(const DeltaSweepCall& call, bool backward, cudaStream_t stream) {
  using Forward = DeltaSweepLayout<KW, DeltaRole::output>;
  const int bytes = backward ? DeltaSweepLayout<KW, DeltaRole::adjoint>::bytes : Forward::bytes;
  const auto kernel = backward ? backwardKernel<KW> : forwardKernel<KW>;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.B * call.H * ((call.V + Forward::VB - 1) / Forward::VB);
  kernel<<<dim3(static_cast<unsigned>(blocks), backward ? 2 : 1), deltaSweepThreads, bytes, stream>>>(call);
  return cudaGetLastError();
}

cudaError_t launch(const DeltaSweepCall& call, bool backward, cudaStream_t stream) {
  if (call.K <= 64) return launchOf<1>(call, backward, stream);
  return call.K <= 128 ? launchOf<2>(call, backward, stream) : launchOf<4>(call, backward, stream);
}

}  // namespace

cudaError_t launchDeltaForwardSweep(const DeltaSweepCall& call, cudaStream_t stream) {
  return launch(call, false, stream);
}

cudaError_t launchDeltaBackwardSweeps(const DeltaSweepCall& call, cudaStream_t stream) {
  return launch(call, true, stream);
}

}  // namespace longscan
