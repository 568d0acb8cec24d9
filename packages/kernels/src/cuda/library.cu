#include "library.h"

#include <cuda_runtime.h>

namespace {

/// In the order of compilation; defined by nvcc.
constexpr int architectures[] = {__CUDA_ARCH_LIST__};

__global__ void probeKernel() {}

}  // namespace

void longscanCudaDescribe(LongscanCudaLibrary* library) {
  library->toolkitVersion = CUDART_VERSION;
  library->numArchitectures = sizeof(architectures) / sizeof(architectures[0]);
  for (int i = 0; i < library->numArchitectures; i++) library->architectures[i] = architectures[i];
}

int longscanCudaProbe() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, probeKernel);
}

size_t longscanCudaSharedBytesOfBlock() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess)
    return 0;
  return static_cast<size_t>(bytes);
}

const char* longscanCudaErrorText(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}
