#pragma once

#include <type_traits>

#include "../sweep/maps.h"
#include "segments.h"

// How kernels with a block for each segment of each head are launched.

namespace longscan {

/// Of the present device; zeros if it does not say.
struct DeviceSupport {
  int major = 0, sharedBytes = 0;  // the compute capability's first number; what a block may have at most

  DeviceSupport() {
    int device = 0;
    if (cudaGetDevice(&device) != cudaSuccess) return;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&sharedBytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
};

/// Whether it has kernels that the copy engine and wgmma feed, for these head sizes and so much shared
/// memory.
inline bool segmentsFit(int K, int V, int bytes) {
  if (K > 128 || V > 128 || (K <= 64 && V > 64) || !canMapTensors()) return false;
  const DeviceSupport device;
  return device.major == 9 && device.sharedBytes >= bytes;
}

/// run(DK, DV), constants: the channels in whole panels of the kernel for heads of K and V, where
/// `segmentsFit`.
template <typename Run>
cudaError_t withPanels(int K, int V, Run&& run) {
  constexpr std::integral_constant<int, 64> one;
  constexpr std::integral_constant<int, 128> two;
  if (K <= 64) return run(one, one);
  return V <= 64 ? run(two, one) : run(two, two);
}

/// Launches a kernel whose blocks have so much shared memory.
template <typename... Parameters>
cudaError_t launchWithMemory(void (*kernel)(Parameters...), dim3 grid, int threads, int bytes,
                             cudaStream_t stream, const Parameters&... parameters) {
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  kernel<<<grid, threads, bytes, stream>>>(parameters...);
  return cudaGetLastError();
}

template <typename Call, typename Maps>
cudaError_t launchSegments(void (*kernel)(Call, Maps), const Call& call, const Maps& maps, int threads,
                           int bytes, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(call.B), call.H, call.numSegments);
  return launchWithMemory(kernel, grid, threads, bytes, stream, call, maps);
}

}  // namespace longscan
