#pragma once

#include <cuda_runtime.h>

#include "cuda_plan.h"

namespace longscan {

/// h and the normaliser of every token, from the states that enter the chunks.
cudaError_t launchOutput(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                         const MlstmStates& states, const LongscanMlstmTokens& tokens, cudaStream_t stream);

/// All gradients of every token, from these states and the adjoints of the ones that leave the chunks; dq and
/// dInput may be null: not wanted.
struct TokenGradients {
  const MlstmStates &states, &adjoints;
  const float *inverse, *sumGradient;  // or null: 1 and 0, of outputs that are not divided
  const LongscanMlstmGradients& to;
};
cudaError_t launchTokenGradients(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                                 const TokenGradients& gradients, cudaStream_t stream);

}  // namespace longscan
