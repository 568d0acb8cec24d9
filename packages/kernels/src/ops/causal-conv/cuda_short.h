#pragma once

#include <cuda_runtime.h>

#include "cuda.h"
#include "cuda_gradient.h"

// Convolutions of up to `causalConvShortTaps`, whose taps a thread holds in registers.

namespace longscan {

constexpr int causalConvShortTaps = 8;

/// Whether heads of this size can be scaled beside the convolution.
bool convNorms(const LongscanCausalConv& call);

/// Runs of tokens in all, by the shape alone: each leaves a share of the gradients of taps and bias.
int64_t shortConvRuns(const LongscanCausalConv& call);

cudaError_t launchShortConv(const LongscanCausalConv& call, void* y, cudaStream_t stream);
/// All but the sums of the shares.
cudaError_t launchShortConvGradient(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                                    const ConvShares& shares, cudaStream_t stream);

}  // namespace longscan
