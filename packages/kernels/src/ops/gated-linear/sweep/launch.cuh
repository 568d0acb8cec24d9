#pragma once

#include <type_traits>

#include "decayed.cuh"
#include "load.cuh"
#include "sweep.cuh"

namespace longscan {

template <int DC, int DO, SweepDecay kind, bool summary>
constexpr int launchedThreads =
    SweepFrame<DC, DO, kind, summary>::threads + 32 * SweepFrame<DC, DO, kind, summary>::loaders;

template <int DC, int DO, SweepDecay kind, bool summary>
__device__ void runSweep(const SweepCall& call, const SweepMaps& maps, unsigned char* shared) {
  using Frame = SweepFrame<DC, DO, kind, summary>;
  const Frame frame(call, maps, shared);
  frame.initBarriers();
  __syncthreads();
  if (threadIdx.x >= Frame::threads) {
    if (Frame::givesRegisters) shrinkRegisters<72>();
    SweepLoader<DC, DO, kind, summary>(frame).load();
  } else {
    if (Frame::givesRegisters) growRegisters<DO == 128 ? 216 : 184>();
    using Computes = std::conditional_t<Frame::scalar, Sweep<DC, DO, summary>, DecayedSweep<DC, DO, summary>>;
    Computes(frame).compute();
  }
}

/// With `summary`, only what each segment makes of a zero state, from y and z: E, M and whether a document
/// starts in it.
template <int DC, int DO, SweepDecay kind, bool summary>
__global__ void __launch_bounds__(launchedThreads<DC, DO, kind, summary>, residentBlocks(DC, DO))
    sweepKernel(const __grid_constant__ SweepCall call, const __grid_constant__ SweepMaps maps) {
  extern __shared__ __align__(1024) unsigned char shared[];
  // Wide ones of 256 contracted channels are for devices where a warpgroup can have more registers.
#if __CUDA_ARCH__ < 900
  if constexpr (DC == 256 && DO == 128) return;
#endif
  runSweep<DC, DO, kind, summary>(call, maps, shared);
}

/// As many stages, up to three, as a multiprocessor has room for; `bytes` by their number.
template <typename Bytes>
cudaError_t chooseStages(int resident, int& stages, Bytes&& bytes) {
  int device = 0, perBlock = 0, perMultiprocessor = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&perBlock, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&perMultiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
  constexpr int reserved = 1024;  // by the system, in each block
  const auto fits = [&](int blocks, int count) {
    return bytes(count) <= perBlock && blocks * (bytes(count) + reserved) <= perMultiprocessor;
  };
  stages = 3;
  while (stages > 1 && !fits(resident, stages) && !(stages == 2 && fits(1, stages))) stages--;
  return error;
}

template <int DC, int DO, SweepDecay kind, bool summary>
cudaError_t launchSweepKernel(SweepCall call, cudaStream_t stream) {
  using Layout = SweepLayout<DC, DO, kind, summary>;
  const auto kernel = sweepKernel<DC, DO, kind, summary>;
  bool hasX = !summary, hasState = kind == SweepDecay::scalar && !summary;
  for (int i = 0; i < call.numTasks; i++) {
    hasX = hasX || call.tasks[i].yRest.data != nullptr;
    hasState = hasState || call.tasks[i].images != nullptr;
  }
  call.stageBytes = Layout::stage(hasX);
  const auto bytesOf = [&](int stages) { return Layout::bytes(stages, call.stageBytes, hasState); };
  cudaError_t error = chooseStages(residentBlocks(DC, DO), call.stages, bytesOf);
  const int bytes = bytesOf(call.stages);
  call.controlAt = bytes - (Layout::maxStages + Layout::maxLate) * Layout::control;  // if not in each stage
  call.lateAt = call.stages * call.stageBytes + (hasState ? Layout::state : 0);
  call.latePlaces = Layout::latePlaces(hasState);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  SweepMaps maps{};
  if (error == cudaSuccess) error = makeSweepMaps(call, maps);
  if (error != cudaSuccess) return error;
  const int64_t blocks = call.B * call.H * call.numSegments * ((call.free + DO - 1) / DO);
  kernel<<<dim3(static_cast<unsigned>(blocks), call.numTasks), launchedThreads<DC, DO, kind, summary>, bytes,
           stream>>>(call, maps);
  return cudaGetLastError();
}

template <SweepDecay kind, bool summary>
cudaError_t launchSweepBySize(const SweepCall& call, cudaStream_t stream) {
  const bool wide = call.freeTile == 128;
  switch (paddedChannels(call.contracted)) {
    case 64:
      return wide ? launchSweepKernel<64, 128, kind, summary>(call, stream)
                  : launchSweepKernel<64, 64, kind, summary>(call, stream);
    case 128:
      return wide ? launchSweepKernel<128, 128, kind, summary>(call, stream)
                  : launchSweepKernel<128, 64, kind, summary>(call, stream);
    default:
      if constexpr (kind == SweepDecay::contracted)
        if (wide) return launchSweepKernel<256, 128, kind, summary>(call, stream);
      return launchSweepKernel<256, 64, kind, summary>(call, stream);
  }
}

}  // namespace longscan
