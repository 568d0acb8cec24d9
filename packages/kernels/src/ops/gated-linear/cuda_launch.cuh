#pragma once

#include <cuda_runtime.h>

namespace longscan {

/// Launches a kernel that begins with `beginKernel` and may be set up while the one before it in the stream
/// ends (programmatic dependent launch, from Hopper on).
template <typename Parameters>
cudaError_t launchOverlapping(void (*kernel)(Parameters), dim3 grid, int threads, int sharedBytes,
                              cudaStream_t stream, const Parameters& parameters) {
  int device = 0, major = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (error != cudaSuccess) return error;
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = sharedBytes;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = major >= 9 ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, parameters);
}

/// The next kernel may be set up from here on; what earlier ones have written is there.
__device__ inline void beginKernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace longscan
