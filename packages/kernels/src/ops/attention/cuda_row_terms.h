#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// What the backward pass needs of each query and head, [B * H][pitch]; zeros from token T on.
struct RowTerms {
  float* lse;    // for powers of two
  float* delta;  // Σ dO · o
  int64_t pitch;
};

cudaError_t launchRowTerms(const LongscanAttention& call, const LongscanAttentionBackward& io,
                           const RowTerms& terms, cudaStream_t stream);

}  // namespace longscan
