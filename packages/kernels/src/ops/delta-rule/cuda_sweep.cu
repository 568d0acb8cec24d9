#include "cuda_sweep_attend.cuh"
#include "cuda_sweep_chain.cuh"
#include "cuda_sweep_load.cuh"

namespace longscan {

namespace {

template <int KN, DeltaRole role, bool diagonal>
__device__ void runDeltaSweep(const DeltaSweepCall& call, const SweepRings& rings) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const SweepBlock<KN, role, diagonal> block(call, rings, shared);
  if (threadIdx.x == 0) block.initBarriers();
  __syncthreads();
  const int group = warpgroupNumber();
  if (group == 0)
    SweepChain<KN, role, diagonal>(block).run();
  else if (group == 1)
    SweepAttendant<KN, role, diagonal>(block).run();
  else
    SweepLoader<KN, role, diagonal>(block).run();
}

template <int KN, bool diagonal>
__global__ void __launch_bounds__(sweepThreads, 1)
    forwardKernel(const __grid_constant__ DeltaSweepCall call, SweepRings rings) {
  runDeltaSweep<KN, DeltaRole::output, diagonal>(call, rings);
}

template <int KN, bool diagonal>
__global__ void __launch_bounds__(sweepThreads, 1)
    backwardKernel(const __grid_constant__ DeltaSweepCall call, SweepRings ofAdjoints, SweepRings ofStates) {
  if (blockIdx.y == 0)
    runDeltaSweep<KN, DeltaRole::adjoint, diagonal>(call, ofAdjoints);
  else
    runDeltaSweep<KN, DeltaRole::states, diagonal>(call, ofStates);
}

cudaError_t sharedBytesOfBlock(int& bytes) {
  int device = 0;
  const cudaError_t error = cudaGetDevice(&device);
  return error != cudaSuccess
             ? error
             : cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
}

template <int KN, bool diagonal>
cudaError_t launchOf(const DeltaSweepCall& call, bool backward, cudaStream_t stream) {
  int most = 0;
  cudaError_t error = sharedBytesOfBlock(most);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>(call.B * call.H * ((call.V + sweepValues - 1) / sweepValues)),
                  backward ? 2 : 1);
  const auto setShared = [&](auto kernel) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
  };
  if (backward) {
    const auto kernel = backwardKernel<KN, diagonal>;
    if ((error = setShared(kernel)) != cudaSuccess) return error;
    kernel<<<grid, sweepThreads, most, stream>>>(call, ringsOf<KN, DeltaRole::adjoint>(most),
                                                 ringsOf<KN, DeltaRole::states>(most));
  } else {
    const auto kernel = forwardKernel<KN, diagonal>;
    if ((error = setShared(kernel)) != cudaSuccess) return error;
    kernel<<<grid, sweepThreads, most, stream>>>(call, ringsOf<KN, DeltaRole::output>(most));
  }
  return cudaGetLastError();
}

template <bool diagonal>
cudaError_t launch(const DeltaSweepCall& call, bool backward, cudaStream_t stream) {
  if (call.K <= 64) return launchOf<1, diagonal>(call, backward, stream);
  return call.K <= 128 ? launchOf<2, diagonal>(call, backward, stream)
                       : launchOf<4, diagonal>(call, backward, stream);
}

}  // namespace

bool deltaSweepsFit(int K) {
  int most = 0;
  if (sharedBytesOfBlock(most) != cudaSuccess) return false;
  const SweepRings rings = K <= 64    ? ringsOf<1, DeltaRole::adjoint>(most)
                           : K <= 128 ? ringsOf<2, DeltaRole::adjoint>(most)
                                      : ringsOf<4, DeltaRole::adjoint>(most);
  return rings.operands > 0;
}

cudaError_t launchDeltaForwardSweep(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<true>(call, false, stream) : launch<false>(call, false, stream);
}

cudaError_t launchDeltaBackwardSweeps(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<true>(call, true, stream) : launch<false>(call, true, stream);
}

}  // namespace longscan
