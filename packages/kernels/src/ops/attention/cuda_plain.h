#pragma once

#include <cuda_runtime.h>

#include "cuda.h"
#include "cuda_row_terms.h"

namespace longscan {

// Any call, in f32 arithmetic without tensor cores.

/// Whether the device's blocks have shared memory for both passes. Heads of up to 128 channels find it
/// everywhere.
bool plainFits(const LongscanAttention& call);

cudaError_t launchPlainForward(const LongscanAttention& call, const LongscanAttentionForward& io,
                               cudaStream_t stream);
cudaError_t launchPlainBackward(const LongscanAttention& call, const LongscanAttentionBackward& io,
                                const RowTerms& terms, cudaStream_t stream);

}  // namespace longscan
