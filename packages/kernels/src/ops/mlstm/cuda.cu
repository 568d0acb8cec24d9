#include "cuda.h"

#include "cuda_gates.h"
#include "cuda_output.h"
#include "cuda_plan.h"
#include "cuda_walk.h"

namespace longscan {

namespace {

using Call = LongscanMlstm;

bool supported(const Call& call) {
  return call.B > 0 && call.T > 0 && call.H > 0 && call.K > 0 && call.K <= 256 && call.V > 0 &&
         call.V <= 256 && (call.type == longscanElementBf16 || call.type == longscanElementF32) &&
         call.B * call.H * ((call.T + mlstmTokens - 1) / mlstmTokens) < INT32_MAX;
}

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

/// (k, v), the states of a slice.
WalkCall walkOfStates(const Call& call, const MlstmGates& gates) {
  WalkCall walk{};
  walk.y = call.k;
  walk.z = call.v;
  walk.yScale = 1.0f;
  walk.weight = gates.toEnd;
  walk.hasVector = true;
  return walk;
}

/// (q, dH), their adjoints.
WalkCall walkOfAdjoints(const Call& call, const MlstmBackwardWork& work, const void* dH) {
  WalkCall walk{};
  walk.backward = true;
  walk.y = call.q;
  walk.z = dH;
  walk.yScale = call.scale;
  walk.weight = work.gates.fromStart;
  walk.zFactor = work.inverse;
  walk.hasVector = true;
  walk.ones = work.sumGradient;
  return walk;
}

/// All borders of chunks, from a stored state or adjoint (null: zero).
cudaError_t walkStored(const Call& call, const MlstmPlan& plan, const MlstmGates& gates, const WalkCall& walk,
                       const MlstmStates& states, const float* stored, cudaStream_t stream) {
  if (stored) LONGSCAN_TRY(launchUnpackState(call, stored, incomingState(plan, states), stream));
  return walkChunks(call, plan, gates, walk, states, stored != nullptr, stream);
}

cudaError_t forward(const Call& call, const LongscanMlstmTokens& tokens, float* state, cudaStream_t stream) {
  const MlstmPlan plan(call);
  const MlstmWork work(call, plan, call.workspace);
  LONGSCAN_TRY(launchGates({call, plan, work.gates, call.h0, tokens.m, false}, stream));
  LONGSCAN_TRY(
      walkStored(call, plan, work.gates, walkOfStates(call, work.gates), work.states, call.h0, stream));
  LONGSCAN_TRY(launchOutput(call, plan, work.gates, work.states, tokens, stream));
  if (state == nullptr) return cudaSuccess;
  return launchPackState(call, work.states.last, work.gates.border + plan.numChunks, plan.numChunks + 1,
                         state, stream);
}

cudaError_t backward(const Call& call, const LongscanMlstmTokens& tokens, const LongscanMlstmGradients& io,
                     cudaStream_t stream) {
  const MlstmPlan plan(call);
  const MlstmBackwardWork work(call, plan, call.workspace);
  LONGSCAN_TRY(launchGates({call, plan, work.gates, call.h0, tokens.m, true}, stream));
  LONGSCAN_TRY(launchSumGradients(call, tokens, io.dH, work.inverse, work.sumGradient, stream));
  LONGSCAN_TRY(
      walkStored(call, plan, work.gates, walkOfStates(call, work.gates), work.states, call.h0, stream));
  LONGSCAN_TRY(
      walkStored(call, plan, work.gates, walkOfAdjoints(call, work, io.dH), work.adjoints, io.dht, stream));
  LONGSCAN_TRY(launchTokenGradients(
      call, plan, work.gates, {work.states, work.adjoints, work.inverse, work.sumGradient, io}, stream));
  if (io.dh0 == nullptr) return cudaSuccess;
  return launchPackState(call, work.adjoints.last, nullptr, 0, io.dh0, stream);
}

cudaError_t summarize(const Call& call, float* state, float* factor, cudaStream_t stream) {
  const MlstmPlan plan(call);
  const MlstmWork work(call, plan, call.workspace);
  const GatesCall gates{call, plan, work.gates, nullptr, nullptr, false};
  LONGSCAN_TRY(launchGates(gates, stream));
  LONGSCAN_TRY(launchSliceFactor(gates, false, factor, stream));
  LONGSCAN_TRY(summarizeWalk(call, plan, work.gates, walkOfStates(call, work.gates), work.states, stream));
  return launchPackState(call, work.states.last, work.gates.border + plan.numChunks, plan.numChunks + 1,
                         state, stream);
}

cudaError_t adjoint(const Call& call, const LongscanMlstmTokens& tokens, const void* dH, float* adjoint,
                    float* factor, cudaStream_t stream) {
  const MlstmPlan plan(call);
  const MlstmBackwardWork work(call, plan, call.workspace);
  const GatesCall gates{call, plan, work.gates, call.h0, tokens.m, true};
  LONGSCAN_TRY(launchGates(gates, stream));
  LONGSCAN_TRY(launchSliceFactor(gates, true, factor, stream));
  LONGSCAN_TRY(launchSumGradients(call, tokens, dH, work.inverse, work.sumGradient, stream));
  LONGSCAN_TRY(summarizeWalk(call, plan, work.gates, walkOfAdjoints(call, work, dH), work.adjoints, stream));
  return launchPackState(call, work.adjoints.last, nullptr, 0, adjoint, stream);
}

#undef LONGSCAN_TRY

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanMlstmWorkspaceBytes(const LongscanMlstm* call) {
  return supported(*call) ? MlstmWork(*call, MlstmPlan(*call), nullptr).parts.used() : 0;
}

size_t longscanMlstmBackwardWorkspaceBytes(const LongscanMlstm* call) {
  return supported(*call) ? MlstmBackwardWork(*call, MlstmPlan(*call), nullptr).parts.used() : 0;
}

int longscanMlstmForward(const LongscanMlstm* call, const LongscanMlstmTokens* tokens, float* state,
                         CUstream_st* stream) {
  return supported(*call) ? forward(*call, *tokens, state, stream) : cudaErrorInvalidValue;
}

int longscanMlstmBackward(const LongscanMlstm* call, const LongscanMlstmTokens* tokens,
                          const LongscanMlstmGradients* io, CUstream_st* stream) {
  return supported(*call) ? backward(*call, *tokens, *io, stream) : cudaErrorInvalidValue;
}

int longscanMlstmSummarize(const LongscanMlstm* call, float* state, float* factor, CUstream_st* stream) {
  return supported(*call) ? summarize(*call, state, factor, stream) : cudaErrorInvalidValue;
}

int longscanMlstmAdjoint(const LongscanMlstm* call, const LongscanMlstmTokens* tokens, const void* dH,
                         float* state, float* factor, CUstream_st* stream) {
  return supported(*call) ? adjoint(*call, *tokens, dH, state, factor, stream) : cudaErrorInvalidValue;
}
