#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// Whether `launchForward` knows the call: bf16, head sizes up to 128, no chunks and no own keys, a positive
/// scale, on Hopper.
bool forwardIsFast(const LongscanAttention& call);
cudaError_t launchForward(const LongscanAttention& call, const LongscanAttentionForward& io,
                          cudaStream_t stream);

}  // namespace longscan
