#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// Of each run of tokens, its share of the gradients of taps and bias.
struct ConvShares {
  float* taps;  // [runs, W, D]
  float* bias;  // [runs, D]
  int64_t runs;
};

/// The gradients of taps and bias: the shares, added up in their order.
cudaError_t sumCausalConvShares(const LongscanCausalConv& call, const LongscanCausalConvBackward& io,
                                const ConvShares& shares, cudaStream_t stream);

}  // namespace longscan
