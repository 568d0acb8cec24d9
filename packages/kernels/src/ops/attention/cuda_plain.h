#pragma once

#include <cuda_runtime.h>

#include "cuda.h"
#include "cuda_row_terms.h"

namespace longscan {

// Any call, in f32 arithmetic without tensor cores.

/// Of a block of the backward pass; the forward pass takes less.
size_t plainSharedBytes(const LongscanAttention& call);

cudaError_t launchPlainForward(const LongscanAttention& call, const LongscanAttentionForward& io,
                               cudaStream_t stream);
cudaError_t launchPlainBackward(const LongscanAttention& call, const LongscanAttentionBackward& io,
                                const RowTerms& terms, cudaStream_t stream);

}  // namespace longscan
