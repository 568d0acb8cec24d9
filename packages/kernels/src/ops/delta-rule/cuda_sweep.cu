#include "cuda/dependent.cuh"
#include "cuda_sweep_attend.cuh"
#include "cuda_sweep_chain.cuh"
#include "cuda_sweep_keep.cuh"
#include "cuda_sweep_load.cuh"

namespace longscan {

namespace {

template <int KN, bool backward, bool diagonal>
__global__ void __launch_bounds__(sweepThreads, 1)
    sweepKernel(const __grid_constant__ DeltaSweepCall call, const __grid_constant__ SweepMaps maps,
                SweepRings rings) {
  extern __shared__ __align__(1024) unsigned char shared[];
  const SweepBlock<KN, backward, diagonal> block(call, maps, rings, shared);
  if (backward) letNextKernelBegin();
  if (threadIdx.x == 0) block.initBarriers();
  __syncthreads();
  const int group = warpgroupNumber();
  if (group == 0) {
    growRegisters<208>();
    SweepChain<KN, backward, diagonal>(block).run();
  } else if (group == 1) {
    shrinkRegisters<120>();
    SweepAttendant<KN, backward, diagonal>(block).run();
  } else if (group == 2) {
    shrinkRegisters<72>();
    SweepLoader<KN, backward, diagonal>(block).run();
  } else {
    shrinkRegisters<72>();
    SweepKeeper<KN, backward, diagonal>(block).run();
  }
  if (!backward && call.chunks.prepared != nullptr) waitForKernelBefore();
}

int64_t blocksOf(int64_t heads, int V) {
  return heads * ((V + sweepValues - 1) / sweepValues);
}

template <int KN, bool backward, bool diagonal>
cudaError_t launchOf(const DeltaSweepCall& call, cudaStream_t stream) {
  DeltaDevice device;
  cudaError_t error = deltaDevice(device);
  if (error != cudaSuccess) return error;
  SweepMaps maps{};
  if ((error = makeSweepMaps(call, backward, maps)) != cudaSuccess) return error;
  const auto kernel = sweepKernel<KN, backward, diagonal>;
  if (backward && (error = clearDeltaCounts(call.finished, call.B * call.H, call.T, stream)) != cudaSuccess)
    return error;
  const int bytes = device.sharedBytes;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const auto blocks = static_cast<unsigned>(blocksOf(call.B * call.H, call.V));
  const SweepRings rings = ringsOf<KN, backward>(bytes);
  if (!backward && call.chunks.prepared != nullptr)
    return launchBeside(kernel, blocks, sweepThreads, bytes, stream, call, maps, rings);
  kernel<<<blocks, sweepThreads, bytes, stream>>>(call, maps, rings);
  return cudaGetLastError();
}

template <bool backward, bool diagonal>
cudaError_t launch(const DeltaSweepCall& call, cudaStream_t stream) {
  if (call.K <= 64) return launchOf<1, backward, diagonal>(call, stream);
  return call.K <= 128 ? launchOf<2, backward, diagonal>(call, stream)
                       : launchOf<4, backward, diagonal>(call, stream);
}

}  // namespace

cudaError_t deltaDevice(DeltaDevice& device) {
  int number = 0, major = 0;
  cudaError_t error = cudaGetDevice(&number);
  const auto ask = [&](int& value, cudaDeviceAttr attribute) {
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(&value, attribute, number);
  };
  ask(device.multiprocessors, cudaDevAttrMultiProcessorCount);
  ask(device.sharedBytes, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  ask(major, cudaDevAttrComputeCapabilityMajor);
  device.sharesTime = major >= 9;
  return error;
}

int deltaSweepLeaves(const DeltaDevice& device, int64_t heads, int V) {
  const int64_t idle = device.multiprocessors - blocksOf(heads, V);
  // With fewer, what runs beside the sweep would take longer than the sweep.
  return device.sharesTime && idle >= device.multiprocessors / 3 ? static_cast<int>(idle) : 0;
}

bool deltaSweepsFit(int K) {
  DeltaDevice device;
  if (deltaDevice(device) != cudaSuccess) return false;
  const int bytes = device.sharedBytes;
  const SweepRings rings = K <= 64    ? ringsOf<1, true>(bytes)
                           : K <= 128 ? ringsOf<2, true>(bytes)
                                      : ringsOf<4, true>(bytes);
  return rings.operands > 0;
}

cudaError_t launchDeltaForwardSweep(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<false, true>(call, stream) : launch<false, false>(call, stream);
}

cudaError_t launchDeltaBackwardSweep(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<true, true>(call, stream) : launch<true, false>(call, stream);
}

}  // namespace longscan
