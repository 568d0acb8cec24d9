#pragma once

#include <cuda_runtime.h>

#include <cstdint>

// Two kernels in a row that run side by side: the second begins when all blocks of the first have begun, and
// waits for parts of its results by counters in memory. Since every block that it waits for is on the device
// already, it waits for nothing that could not run. On Hopper; elsewhere the second begins after the first.

namespace longscan {

/// In every block of the first kernel, as soon as it may have company.
__device__ inline void letNextKernelBegin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// In the second kernel, before its last block ends: a kernel that ends while the one before it still runs
/// would let a third one begin.
__device__ inline void waitForKernelBefore() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Counts so many more parts as done: what the calling thread wrote before, or has met at a barrier, is seen
/// by whoever sees the count.
__device__ inline void countParts(int32_t* counter, int parts) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.release.gpu.global.add.s32 [%0], %1;" ::"l"(counter), "r"(parts) : "memory");
#endif
}
__device__ inline void countPart(int32_t* counter) {
  countParts(counter, 1);
}

__device__ inline int32_t countedParts(const int32_t* counter) {
  int32_t count = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(count) : "l"(counter) : "memory");
#endif
  return count;
}

/// Waits until so many parts have been counted.
__device__ inline void waitForParts(const int32_t* counter, int32_t parts) {
  while (countedParts(counter) < parts) __nanosleep(100);
}

/// After having seen counts: the copy engine, too, reads what was counted.
__device__ inline void passCountsToCopies() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.global;" ::: "memory");
#endif
}

/// Launches a kernel that may begin beside the one before it on the stream.
template <typename... Parameters, typename... Arguments>
cudaError_t launchBeside(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t sharedBytes,
                         cudaStream_t stream, const Arguments&... arguments) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = sharedBytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace longscan
