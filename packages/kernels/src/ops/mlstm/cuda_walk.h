#pragma once

#include <cuda_runtime.h>

#include "cuda_plan.h"

namespace longscan {

/// A walk over the chunks of every segment, with time or against it: P = carried P + sum_i (yScale weight_i
/// y_i) (zFactor_i z_i)^T, and the same of a vector, whose z is `ones`. (y, z) = (k, v) makes states, (q, dH)
/// their adjoints.
struct WalkCall {
  bool backward;
  const void *y, *z;  // [B, T, H, K], [B, T, H, V]
  float yScale;
  const float* weight;    // [B, T, H]
  const float* zFactor;   // [B, T, H], or null: 1
  bool hasVector;         // else it stays as it is
  const float* ones;      // [B, T, H], or null: 1
  const float* entering;  // [B * H, segments, stateSize], or null: zero
  float* last;            // after each segment, like `entering`; or null
  void* chunks;           // [B * H, chunks, K, V]: as each chunk is come upon; null: not wanted
  float* chunkVectors;    // [B * H, chunks, K]
};

cudaError_t launchWalk(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                       const WalkCall& walk, cudaStream_t stream);

/// Where `walkChunks` finds the state or adjoint that the slice goes on from.
float* incomingState(const MlstmPlan& plan, const MlstmStates& states);

/// The states, or adjoints, at all borders of chunks, and in `states.last` the one after the slice; from zero
/// unless `hasIncoming`. Of `walk` all but its borders.
cudaError_t walkChunks(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                       WalkCall walk, const MlstmStates& states, bool hasIncoming, cudaStream_t stream);

/// What the slice alone makes of zero, in `states.last`.
cudaError_t summarizeWalk(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                          WalkCall walk, const MlstmStates& states, cudaStream_t stream);

}  // namespace longscan
