#include "cuda/combine.h"
#include "cuda_walk.h"

namespace longscan {

namespace {

/// The segments' effects, folded in the order of the walk from `incoming` (null: zero): what enters each, and
/// what leaves the last.
cudaError_t foldSegments(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                         WalkCall walk, const MlstmStates& states, const float* incoming,
                         cudaStream_t stream) {
  walk.last = states.effects;
  const cudaError_t error = launchWalk(call, plan, gates, walk, stream);
  if (error) return error;
  CombineCall fold{};
  fold.heads = plan.heads;
  fold.K = 1;
  fold.V = static_cast<int>(plan.stateSize);
  fold.numSegments = plan.numSegments;
  fold.backward = walk.backward;
  fold.summaries = states.effects;
  fold.factor = gates.segmentFactor;
  fold.reset = gates.segmentReset;
  fold.incoming = incoming;
  fold.incomingScale = fold.outgoingScale = 1.0f;
  fold.states = states.entering;
  fold.outgoing = states.last;
  return launchCombine(fold, stream);
}

}  // namespace

/// Where nothing is cut it enters the only segment; else the fold reads it from `last`, which it then writes
/// element by element.
float* incomingState(const MlstmPlan& plan, const MlstmStates& states) {
  return plan.numSegments > 1 ? states.last : states.entering;
}

cudaError_t walkChunks(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                       WalkCall walk, const MlstmStates& states, bool hasIncoming, cudaStream_t stream) {
  const bool cut = plan.numSegments > 1;
  if (cut) {
    const float* incoming = hasIncoming ? states.last : nullptr;
    const cudaError_t error = foldSegments(call, plan, gates, walk, states, incoming, stream);
    if (error) return error;
  }
  walk.entering = cut || hasIncoming ? states.entering : nullptr;
  walk.last = cut ? nullptr : states.last;
  walk.chunks = states.chunks;
  walk.chunkVectors = states.chunkVectors;
  return launchWalk(call, plan, gates, walk, stream);
}

cudaError_t summarizeWalk(const LongscanMlstm& call, const MlstmPlan& plan, const MlstmGates& gates,
                          WalkCall walk, const MlstmStates& states, cudaStream_t stream) {
  if (plan.numSegments > 1) return foldSegments(call, plan, gates, walk, states, nullptr, stream);
  walk.last = states.last;
  return launchWalk(call, plan, gates, walk, stream);
}

}  // namespace longscan
