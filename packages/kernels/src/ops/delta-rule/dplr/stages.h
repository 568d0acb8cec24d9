#pragma once

#include <cuda_runtime.h>

#include "dplr.h"

// The forward pass: two kernels to which every chunk is as good as alone, and between them the chain of
// states from chunk to chunk. Between them they leave all of `kept` (kept.h).

namespace longscan {

/// Everything but the states: of `kept`, all but X and S.
cudaError_t launchDplrPrepare(const LongscanDplr& call, void* kept, cudaStream_t stream);
/// X and S.
cudaError_t launchDplrChain(const LongscanDplr& call, const LongscanDplrForward& io, cudaStream_t stream);
cudaError_t launchDplrOutput(const LongscanDplr& call, const LongscanDplrForward& io, cudaStream_t stream);

/// Shared memory of a block of those that take most; `keys` as in DplrSizes.
size_t dplrPrepareSharedBytes(int keys);
size_t dplrChainSharedBytes(int keys);

}  // namespace longscan
