#pragma once

#include <cuda_runtime.h>

#include "cuda.h"
#include "cuda_sweep.h"

namespace longscan {

// The calls of cuda.h with a gate per channel.

size_t deltaDiagonalWorkspaceBytes(const LongscanDeltaRule& call);
cudaError_t deltaDiagonalPrepare(const LongscanDeltaRule& call, void* kept, cudaStream_t stream);
cudaError_t deltaDiagonalForward(const LongscanDeltaRule& call, const LongscanDeltaRuleForward& io,
                                 cudaStream_t stream);
cudaError_t deltaDiagonalBackward(const LongscanDeltaRule& call, const LongscanDeltaRuleBackward& io,
                                  cudaStream_t stream);

}  // namespace longscan
