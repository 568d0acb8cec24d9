#include "cuda_sweep_attend.cuh"
#include "cuda_sweep_chain.cuh"
#include "cuda_sweep_load.cuh"

namespace longscan {

namespace {

template <int KN, DeltaRole role, bool diagonal>
__device__ void runDeltaSweep(const DeltaSweepCall& call, const SweepMaps& maps, const SweepRings& rings) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const SweepBlock<KN, role, diagonal> block(call, maps, rings, shared);
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
    forwardKernel(const __grid_constant__ DeltaSweepCall call, const __grid_constant__ SweepMaps maps,
                  SweepRings rings) {
  runDeltaSweep<KN, DeltaRole::output, diagonal>(call, maps, rings);
}

template <int KN, bool diagonal>
__global__ void __launch_bounds__(sweepThreads, 1)
    backwardKernel(const __grid_constant__ DeltaSweepCall call, const __grid_constant__ SweepMaps ofAdjoints,
                   const __grid_constant__ SweepMaps ofStates, SweepRings adjointRings,
                   SweepRings stateRings) {
  if (blockIdx.y == 0)
    runDeltaSweep<KN, DeltaRole::adjoint, diagonal>(call, ofAdjoints, adjointRings);
  else
    runDeltaSweep<KN, DeltaRole::states, diagonal>(call, ofStates, stateRings);
}

cudaError_t sharedBytesOfBlock(int& bytes) {
  int device = 0;
  const cudaError_t error = cudaGetDevice(&device);
  return error != cudaSuccess
             ? error
             : cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
}

/// `passes` of the grid side by side.
template <typename... Parameters, typename... Arguments>
cudaError_t launchBlocks(void (*kernel)(Parameters...), const DeltaSweepCall& call, int passes,
                         int sharedBytes, cudaStream_t stream, const Arguments&... arguments) {
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sharedBytes);
  if (error != cudaSuccess) return error;
  const auto tiles = static_cast<unsigned>(call.B * call.H * ((call.V + sweepValues - 1) / sweepValues));
  kernel<<<dim3(tiles, passes), sweepThreads, sharedBytes, stream>>>(arguments...);
  return cudaGetLastError();
}

template <int KN, bool diagonal>
cudaError_t launchOf(const DeltaSweepCall& call, bool backward, cudaStream_t stream) {
  int most = 0;
  cudaError_t error = sharedBytesOfBlock(most);
  if (error != cudaSuccess) return error;
  SweepMaps maps{}, ofAdjoints{};
  if ((error = makeSweepMaps(call, false, maps)) != cudaSuccess) return error;
  if (!backward)
    return launchBlocks(forwardKernel<KN, diagonal>, call, 1, most, stream, call, maps,
                        ringsOf<KN, DeltaRole::output>(most));
  if ((error = makeSweepMaps(call, true, ofAdjoints)) != cudaSuccess) return error;
  return launchBlocks(backwardKernel<KN, diagonal>, call, 2, most, stream, call, ofAdjoints, maps,
                      ringsOf<KN, DeltaRole::adjoint>(most), ringsOf<KN, DeltaRole::states>(most));
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
