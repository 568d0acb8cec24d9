#pragma once

#include "cuda/tensor_map.h"
#include "diagonal.h"

namespace longscan {

/// What kernels of the gradient read and write in boxes.
struct GradientMaps {
  CUtensorMap q, k, v, dO, dq, dk;
};

/// Of pairs of chunks that decay mildly, see `mildestSteep`; others are left out.
cudaError_t launchPairGradient(const DiagonalGradientCall& call, const GradientMaps& maps,
                               cudaStream_t stream);

}  // namespace longscan
