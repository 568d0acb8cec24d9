#include "adjoint.h"

#include "attend.cuh"
#include "chain.cuh"
#include "cuda/dependent.cuh"
#include "keep.cuh"
#include "load.cuh"

namespace longscan {

namespace {

template <bool decays>
__global__ void __launch_bounds__(sweepThreads, 1)
    adjointKernel(const __grid_constant__ DeltaSweepCall call, const __grid_constant__ SweepMaps maps) {
#if LONGSCAN_WGMMA
  extern __shared__ __align__(1024) unsigned char shared[];
  const AdjointBlock block(call, maps, shared);
  letNextKernelBegin();
  if (threadIdx.x == 0) block.initBarriers();
  __syncthreads();
  const int group = warpgroupNumber();
  if (group == 0) {
    growRegisters<240>();
    AdjointChain<decays>(block).run();
  } else if (group == 1) {
    shrinkRegisters<120>();
    AdjointAttendant(block).run();
  } else if (group == 2) {
    shrinkRegisters<72>();
    AdjointLoader(block).run();
  } else {
    shrinkRegisters<72>();
    AdjointKeeper(block).run();
  }
#endif
}

}  // namespace

cudaError_t launchDeltaTwoPanelAdjoints(const DeltaSweepCall& call, cudaStream_t stream) {
  SweepMaps maps{};
  cudaError_t error = makeSweepMaps(call, true, wideValues, maps);
  if (error == cudaSuccess) error = clearDeltaCounts(call.finished, call.B * call.H, call.T, stream);
  if (error != cudaSuccess) return error;
  const auto kernel = call.decays ? adjointKernel<true> : adjointKernel<false>;
  constexpr int bytes = AdjointLayout::bytes;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const dim3 blocks(static_cast<unsigned>(call.B * call.H * sweepTiles(call.V, wideValues)),
                    call.numSegments - call.firstSegment);
  kernel<<<blocks, sweepThreads, bytes, stream>>>(call, maps);
  return cudaGetLastError();
}

}  // namespace longscan
