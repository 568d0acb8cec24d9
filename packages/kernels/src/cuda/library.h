#pragma once

// What the library of CUDA kernels says of itself, as plain C.

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct LongscanCudaLibrary {
  int toolkitVersion;  // 13000: CUDA 13.0
  int numArchitectures;
  int architectures[16];  // 900: sm_90 or sm_90a
};

void longscanCudaDescribe(struct LongscanCudaLibrary* library);
/// 0 if the library has code for the calling thread's current GPU, else a cudaError_t.
int longscanCudaProbe(void);
/// Shared memory that a block may have on the calling thread's current GPU at most; 0: nobody says.
size_t longscanCudaSharedBytesOfBlock(void);
/// What a cudaError_t means.
const char* longscanCudaErrorText(int error);

#ifdef __cplusplus
}
#endif
