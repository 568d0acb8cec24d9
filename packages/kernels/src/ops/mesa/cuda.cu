#include "cuda.h"

#include "../mlstm/cuda_gates.h"
#include "../mlstm/cuda_output.h"
#include "../mlstm/cuda_walk.h"
#include "cuda/sum_parts.cuh"
#include "cuda_read.h"
#include "cuda_rows.h"
#include "cuda_solve.h"

// The states are those of a matrix LSTM without input gates and normaliser, whose values are beta [k; v]: its
// kernels make them, their adjoints and the gradients, in f32 throughout, for the solution magnifies errors.

namespace longscan {

namespace {

using Call = LongscanMesa;

bool supported(const Call& call) {
  return call.B > 0 && call.T > 0 && call.H > 0 && call.K > 0 && call.K <= 256 && call.V > 0 &&
         call.V <= 256 && (call.type == longscanElementBf16 || call.type == longscanElementF32) &&
         call.B * call.H * ((call.T + mlstmTokens - 1) / mlstmTokens) < INT32_MAX;
}

/// The recurrence, its queries the solutions.
LongscanMlstm recurrenceOf(const Call& call) {
  const MesaSizes sizes(call);
  LongscanMlstm inner{};
  inner.B = call.B;
  inner.T = call.T;
  inner.H = call.H;
  inner.K = sizes.keys;
  inner.V = sizes.both;
  inner.type = longscanElementF32;
  inner.scale = 1.0f;
  inner.logForget = call.g;
  inner.resets = call.resets;
  return inner;
}

/// What both passes need: rows in f32, and the states.
struct MesaWork {
  MesaSizes sizes;
  LongscanMlstm inner;
  MlstmPlan plan;
  MlstmWork recurrence;
  float *k, *written, *right, *outputs, *scratch;  // right: right-hand sides

  MesaWork(const Call& call, void* base)
      : sizes(call), inner(recurrenceOf(call)), plan(inner), recurrence(inner, plan, base) {
    WorkspaceParts& parts = recurrence.parts;
    const int64_t tokens = call.B * call.T * call.H;
    k = parts.take<float>(tokens * sizes.keys);
    written = parts.take<float>(tokens * sizes.both);
    right = parts.take<float>(tokens * sizes.keys);
    outputs = parts.take<float>(tokens * sizes.values);
    scratch = parts.take<float>(solveScratchNumbers(call.K));
    inner.k = k;
    inner.v = written;
  }
  WorkspaceParts& parts() { return recurrence.parts; }
};

struct MesaBackwardWork : MesaWork {
  MlstmStates adjoints;
  float *gradients, *ofKey, *ofWritten, *shares;

  MesaBackwardWork(const Call& call, void* base) : MesaWork(call, base), adjoints(inner, plan, parts()) {
    const int64_t tokens = call.B * call.T * call.H;
    gradients = parts().take<float>(tokens * sizes.both);
    ofKey = parts().take<float>(tokens * sizes.keys);
    ofWritten = parts().take<float>(tokens * sizes.both);
    shares = parts().take<float>(plan.heads * plan.numChunks * call.K);
  }
};

#define LONGSCAN_TRY(expression) \
  if (const cudaError_t error = (expression)) return error

GatesCall gatesOf(const MesaWork& work) {
  return {work.inner, work.plan, work.recurrence.gates, nullptr, nullptr, true};
}

WalkCall walkOfStates(const MesaWork& work) {
  WalkCall walk{};
  walk.y = work.k;
  walk.z = work.written;
  walk.yScale = 1.0f;
  walk.weight = work.recurrence.gates.toEnd;
  return walk;
}

WalkCall walkOfAdjoints(const MesaBackwardWork& work, const float* x) {
  WalkCall walk{};
  walk.backward = true;
  walk.y = x;
  walk.z = work.gradients;
  walk.yScale = 1.0f;
  walk.weight = work.recurrence.gates.fromStart;
  return walk;
}

/// All borders of chunks, from a stored state or adjoint (null: zero).
cudaError_t walkStored(const Call& call, const MesaWork& work, const WalkCall& walk,
                       const MlstmStates& states, const float* stored, cudaStream_t stream) {
  if (stored) LONGSCAN_TRY(launchMesaUnpack(call, stored, incomingState(work.plan, states), stream));
  return walkChunks(work.inner, work.plan, work.recurrence.gates, walk, states, stored != nullptr, stream);
}

/// The part of Hkv, of rows whose other side may be `fromValues`.
ReadCall readOf(const MesaWork& work, bool fromValues) {
  ReadCall read{};
  read.fromValues = fromValues;
  read.keys = work.sizes.keys;
  read.values = work.sizes.values;
  read.k = work.k;
  read.written = work.written + work.sizes.keys;
  read.writtenStride = read.stateStride = work.sizes.both;
  read.states = static_cast<const float*>(work.recurrence.states.chunks) + work.sizes.keys;
  return read;
}

SolveCall solveOf(const Call& call, const MesaWork& work, float* x) {
  SolveCall solve{call};
  solve.k = work.k;
  solve.states = static_cast<const float*>(work.recurrence.states.chunks);
  solve.stateColumns = work.sizes.both;
  solve.b = work.right;
  solve.scratch = work.scratch;
  solve.x = x;
  return solve;
}

cudaError_t forward(const Call& call, void* o, float* x, float* state, cudaStream_t stream) {
  const MesaWork work(call, call.workspace);
  LONGSCAN_TRY(launchMesaRows(call, {work.k, work.written, work.right}, stream));
  LONGSCAN_TRY(launchGates(gatesOf(work), stream));
  LONGSCAN_TRY(walkStored(call, work, walkOfStates(work), work.recurrence.states, call.h0, stream));
  LONGSCAN_TRY(launchSolve(solveOf(call, work, x), stream));
  ReadCall read = readOf(work, false);
  read.read = x;
  read.readStride = work.sizes.keys;
  read.out = work.outputs;
  LONGSCAN_TRY(launchRead(work.inner, work.plan, work.recurrence.gates, read, stream));
  LONGSCAN_TRY(launchMesaOutput(call, work.outputs, o, stream));
  if (state == nullptr) return cudaSuccess;
  return launchMesaPack(call, work.recurrence.states.last, state, stream);
}

cudaError_t summarize(const Call& call, float* state, float* factor, cudaStream_t stream) {
  const MesaWork work(call, call.workspace);
  LONGSCAN_TRY(launchMesaRows(call, {work.k, work.written}, stream));
  LONGSCAN_TRY(launchGates(gatesOf(work), stream));
  LONGSCAN_TRY(launchSliceFactor(gatesOf(work), true, factor, stream));
  LONGSCAN_TRY(summarizeWalk(work.inner, work.plan, work.recurrence.gates, walkOfStates(work),
                             work.recurrence.states, stream));
  return launchMesaPack(call, work.recurrence.states.last, state, stream);
}

cudaError_t queryGradient(const Call& call, const LongscanMesaQueryGradient& io, cudaStream_t stream) {
  const MesaBackwardWork work(call, call.workspace);
  const MlstmGates& gates = work.recurrence.gates;
  LONGSCAN_TRY(launchMesaRows(call, {work.k, work.written, nullptr, work.gradients, io.dO}, stream));
  LONGSCAN_TRY(launchGates(gatesOf(work), stream));
  LONGSCAN_TRY(walkStored(call, work, walkOfStates(work), work.recurrence.states, call.h0, stream));
  ReadCall read = readOf(work, true);
  read.read = work.gradients + work.sizes.keys;
  read.readStride = work.sizes.both;
  read.out = work.right;
  LONGSCAN_TRY(launchRead(work.inner, work.plan, gates, read, stream));
  SolveCall solve = solveOf(call, work, io.u);
  solve.solved = io.x;
  solve.dq = io.dq;
  solve.negative = work.gradients;
  solve.shares = work.shares;
  LONGSCAN_TRY(launchSolve(solve, stream));
  const SumPartsCall sum{work.shares, work.plan.numChunks, 1, work.plan.heads * call.K, 1};
  LONGSCAN_TRY(launchSumParts<float>(sum, io.dLambda, stream));
  if (io.adjoint == nullptr) return cudaSuccess;
  LONGSCAN_TRY(
      summarizeWalk(work.inner, work.plan, gates, walkOfAdjoints(work, io.x), work.adjoints, stream));
  return launchMesaPack(call, work.adjoints.last, io.adjoint, stream);
}

cudaError_t keyValueGradient(const Call& call, const LongscanMesaKeyValueGradient& io, cudaStream_t stream) {
  const MesaBackwardWork work(call, call.workspace);
  const MlstmGates& gates = work.recurrence.gates;
  LONGSCAN_TRY(launchMesaRows(call, {work.k, work.written, nullptr, work.gradients, io.dO, io.u}, stream));
  LONGSCAN_TRY(launchGates(gatesOf(work), stream));
  LONGSCAN_TRY(walkStored(call, work, walkOfStates(work), work.recurrence.states, call.h0, stream));
  LONGSCAN_TRY(walkStored(call, work, walkOfAdjoints(work, io.x), work.adjoints, io.dht, stream));
  LongscanMlstm inner = work.inner;
  inner.q = io.x;
  LongscanMlstmGradients to{};
  to.dH = work.gradients;
  to.dk = work.ofKey;
  to.dv = work.ofWritten;
  to.dForget = io.dg;
  LONGSCAN_TRY(launchTokenGradients(inner, work.plan, gates,
                                    {work.recurrence.states, work.adjoints, nullptr, nullptr, to}, stream));
  LONGSCAN_TRY(launchMesaGradients(call, work.ofKey, work.ofWritten, io, stream));
  if (io.dh0 == nullptr) return cudaSuccess;
  return launchMesaPack(call, work.adjoints.last, io.dh0, stream);
}

#undef LONGSCAN_TRY

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanMesaWorkspaceBytes(const LongscanMesa* call) {
  return supported(*call) ? MesaWork(*call, nullptr).parts().used() : 0;
}

size_t longscanMesaBackwardWorkspaceBytes(const LongscanMesa* call) {
  return supported(*call) ? MesaBackwardWork(*call, nullptr).parts().used() : 0;
}

int longscanMesaForward(const LongscanMesa* call, void* o, float* x, float* state, CUstream_st* stream) {
  return supported(*call) ? forward(*call, o, x, state, stream) : cudaErrorInvalidValue;
}

int longscanMesaSummarize(const LongscanMesa* call, float* state, float* factor, CUstream_st* stream) {
  return supported(*call) ? summarize(*call, state, factor, stream) : cudaErrorInvalidValue;
}

int longscanMesaQueryGradient(const LongscanMesa* call, const LongscanMesaQueryGradient* io,
                              CUstream_st* stream) {
  return supported(*call) ? queryGradient(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanMesaKeyValueGradient(const LongscanMesa* call, const LongscanMesaKeyValueGradient* io,
                                 CUstream_st* stream) {
  return supported(*call) ? keyValueGradient(*call, *io, stream) : cudaErrorInvalidValue;
}
