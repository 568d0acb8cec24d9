#pragma once

#include <cuda_runtime.h>

namespace longscan {

/// Shared memory that a block may have on the current device at most; 0: nobody says.
inline size_t sharedBytesOfBlock() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess)
    return 0;
  return static_cast<size_t>(bytes);
}

}  // namespace longscan
