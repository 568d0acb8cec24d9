#pragma once

#include "cuda/tensor_map.h"
#include "cuda_diagonal_gradient.h"
#include "cuda_gradient.h"

namespace longscan {

/// How the copy engine finds the gradients' operands: boxes of 64 rows and 64 columns.
struct GradientMaps {
  CUtensorMap dO, dv, corrections, states, adjoints, q, k;
  /// Whether there are maps: on devices with a copy engine, where head sizes are whole boxes.
  bool usable;
};

cudaError_t makeGradientMaps(const DeltaGradientCall& call, GradientMaps& maps);
cudaError_t makeGradientMaps(const DeltaDiagonalGradientCall& call, GradientMaps& maps);

}  // namespace longscan
