#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// f32 numbers of the workspace: each run's share of dTaps.
int64_t causalConvGradientNumbers(const LongscanCausalConv& call);

cudaError_t launchCausalConvGradient(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                                     cudaStream_t stream);

}  // namespace longscan
