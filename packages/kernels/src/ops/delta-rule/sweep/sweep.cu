#include "../adjoint/adjoint.h"
#include "attend.cuh"
#include "chain.cuh"
#include "cuda/dependent.cuh"
#include "keep.cuh"
#include "load.cuh"
#include "wide_chain.cuh"

namespace longscan {

namespace {

/// Of the wide chain, and of segments' adjoints, the compiler sees nothing but on Hopper.
template <SweepKind kind, int width>
constexpr bool isBuilt = (kind != SweepKind::leaving && width == narrowValues) || LONGSCAN_WGMMA;

template <int KN, SweepKind kind, bool diagonal, int width>
__global__ void __launch_bounds__(sweepThreads, 1)
    sweepKernel(const __grid_constant__ DeltaSweepCall call, const __grid_constant__ SweepMaps maps,
                SweepRings rings) {
  if constexpr (isBuilt<kind, width>) {
    extern __shared__ __align__(1024) unsigned char shared[];
    const SweepBlock<KN, kind, diagonal, width> block(call, maps, rings, shared);
    if (kind == SweepKind::backward) letNextKernelBegin();
    if (threadIdx.x == 0) block.initBarriers();
    if constexpr (width == wideValues && kind == SweepKind::forward) block.fillIdentity();
    __syncthreads();
    const int group = warpgroupNumber();
    if (group == 0) {
      growRegisters<240>();
      if constexpr (width == wideValues)
        SweepWideChain<KN, kind, diagonal>(block).run();
      else
        SweepChain<KN, kind, diagonal>(block).run();
    } else if (group == 1) {
      shrinkRegisters<120>();
      SweepAttendant<KN, kind, diagonal, width>(block).run();
    } else if (group == 2) {
      shrinkRegisters<72>();
      SweepLoader<KN, kind, diagonal, width>(block).run();
    } else {
      shrinkRegisters<72>();
      SweepKeeper<KN, kind, diagonal, width>(block).run();
    }
    if (kind == SweepKind::forward && call.chunks.prepared != nullptr) waitForKernelBefore();
  }
}

/// Channels of V a block. A wide chain of adjoints takes about as long for a chunk as a narrow one, a wide
/// forward chain longer with K > 64; with K > 128 a wide one has not enough registers.
int sweepWidth(const DeltaDevice& device, bool backward, int K, int V) {
  const bool wide = device.sharesTime && K <= (backward ? 128 : 64) && V > narrowValues;
  return wide ? wideValues : narrowValues;
}

int64_t blocksOf(const DeltaDevice& device, bool backward, int64_t heads, int K, int V) {
  const int width = sweepWidth(device, backward, K, V);
  return heads * sweepTiles(V, width);
}

template <int KN, SweepKind kind, bool diagonal, int width>
cudaError_t launchOf(const DeltaSweepCall& call, const DeltaDevice& device, cudaStream_t stream) {
  constexpr bool backward = kind != SweepKind::forward;
  SweepMaps maps{};
  cudaError_t error = makeSweepMaps(call, backward, width, maps);
  if (error != cudaSuccess) return error;
  const auto kernel = sweepKernel<KN, kind, diagonal, width>;
  if (backward && (error = clearDeltaCounts(call.finished, call.B * call.H, call.T, stream)) != cudaSuccess)
    return error;
  const int bytes = device.sharedBytes;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const dim3 blocks(static_cast<unsigned>(blocksOf(device, backward, call.B * call.H, call.K, call.V)),
                    call.numSegments - call.firstSegment);
  const SweepRings rings = ringsOf<KN, backward, width>(bytes);
  if (!backward && call.chunks.prepared != nullptr)
    return launchBeside(kernel, blocks, sweepThreads, bytes, stream, call, maps, rings);
  kernel<<<blocks, sweepThreads, bytes, stream>>>(call, maps, rings);
  return cudaGetLastError();
}

template <SweepKind kind, bool diagonal>
cudaError_t launch(const DeltaSweepCall& call, cudaStream_t stream) {
  constexpr bool backward = kind != SweepKind::forward;
  DeltaDevice device;
  const cudaError_t error = deltaDevice(device);
  if (error != cudaSuccess) return error;
  if (sweepWidth(device, backward, call.K, call.V) == wideValues) {
    if (call.K > 64) {
      if constexpr (kind == SweepKind::backward && !diagonal)
        return launchDeltaTwoPanelAdjoints(call, stream);
      else if constexpr (backward)
        return launchOf<2, kind, diagonal, wideValues>(call, device, stream);
    }
    return launchOf<1, kind, diagonal, wideValues>(call, device, stream);
  }
  if (call.K <= 64) return launchOf<1, kind, diagonal, narrowValues>(call, device, stream);
  return call.K <= 128 ? launchOf<2, kind, diagonal, narrowValues>(call, device, stream)
                       : launchOf<4, kind, diagonal, narrowValues>(call, device, stream);
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

int64_t deltaForwardBlocks(const DeltaDevice& device, int64_t heads, int K, int V) {
  return blocksOf(device, false, heads, K, V);
}

int64_t deltaBackwardBlocks(const DeltaDevice& device, int64_t heads, int K, int V) {
  return blocksOf(device, true, heads, K, V);
}

int deltaSweepLeaves(const DeltaDevice& device, int64_t heads, int K, int V) {
  const int64_t idle = device.multiprocessors - blocksOf(device, false, heads, K, V);
  // With fewer, what runs beside the sweep would take longer than the sweep.
  return device.sharesTime && idle >= device.multiprocessors / 3 ? static_cast<int>(idle) : 0;
}

bool deltaSweepsFit(int K) {
  DeltaDevice device;
  if (deltaDevice(device) != cudaSuccess) return false;
  const int bytes = device.sharedBytes;
  const SweepRings rings = K <= 64    ? ringsOf<1, true, narrowValues>(bytes)
                           : K <= 128 ? ringsOf<2, true, narrowValues>(bytes)
                                      : ringsOf<4, true, narrowValues>(bytes);
  return rings.operands > 0;
}

cudaError_t launchDeltaForwardSweep(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<SweepKind::forward, true>(call, stream)
                       : launch<SweepKind::forward, false>(call, stream);
}

cudaError_t launchDeltaBackwardSweep(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<SweepKind::backward, true>(call, stream)
                       : launch<SweepKind::backward, false>(call, stream);
}

cudaError_t launchDeltaLeavingSweep(const DeltaSweepCall& call, cudaStream_t stream) {
  return call.diagonal ? launch<SweepKind::leaving, true>(call, stream)
                       : launch<SweepKind::leaving, false>(call, stream);
}

}  // namespace longscan
