#pragma once

#include <cuda_runtime.h>

#include "../cuda.h"
#include "../sweep/sweep.h"

namespace longscan {

// The backward pass of cuda.h with a gate per channel.

size_t deltaDiagonalWorkspaceBytes(const LongscanDeltaRule& call, const DeltaDevice& device);
cudaError_t deltaDiagonalBackward(const LongscanDeltaRule& call, const LongscanDeltaRuleBackward& io,
                                  const DeltaDevice& device, cudaStream_t stream);

}  // namespace longscan
