#pragma once

#include <string>

#include "../cuda/library.h"
#include "gpu_args.h"

namespace longscan {

/// Throws E-CUDA-KERNEL, in the words of `call`, where a block of the call's kernels takes more shared memory
/// than one may have on this GPU.
inline void requireSharedBytes(const Args& args, size_t needed, const std::string& call) {
  const size_t most = LONGSCAN_CUDA_FUNCTION(args, longscanCudaSharedBytesOfBlock)();
  if (needed <= most) return;
  throwNoKernel(
      args, call + " on this GPU, whose blocks may have " + std::to_string(most) + " bytes of shared memory",
      "sizes that take less, or GPUs with the " + std::to_string(needed) + " that these take");
}

}  // namespace longscan
