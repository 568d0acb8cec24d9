#include "cuda_diagonal.h"

#include <cuda_bf16.h>

#include "cuda/tile.cuh"
#include "cuda/workspace_parts.h"
#include "cuda_backward.h"
#include "cuda_diagonal_gradient.h"
#include "cuda_diagonal_prepare.h"
#include "cuda_diagonal_whole.h"
#include "cuda_forward.h"
#include "cuda_gradient.h"
#include "cuda_sweep_call.h"

namespace longscan {

namespace {

using Call = LongscanDeltaRule;
using Bf16 = __nv_bfloat16;

int64_t numChunksOf(const Call& call) {
  return (call.T + tileTokens - 1) / tileTokens;
}

int64_t statesSizeOf(const Call& call) {
  return call.B * call.H * numChunksOf(call) * call.K * call.V;
}

/// What the forward pass writes and the backward pass reads again.
struct Kept {
  WorkspaceParts arena;
  DeltaChunks chunks{};
  Bf16* states;
  void* effects = nullptr;  // of DeltaSegments, where the forward sweep is cut

  Kept(const Call& call, const void* base) : arena(const_cast<void*>(base)) {
    const int64_t heads = call.B * call.H, rows = heads * numChunksOf(call) * tileTokens;
    const int64_t keys = call.B * call.T * call.H * call.K;
    chunks.inverse = arena.take<Bf16>(rows * tileTokens);
    chunks.scores = arena.take<Bf16>(rows * tileTokens);
    chunks.outOf = arena.take<float>(rows);
    chunks.queries = arena.take<Bf16>(keys);
    chunks.writeKeys = arena.take<Bf16>(keys);
    chunks.w = arena.take<Bf16>(rows * call.K);
    chunks.u = arena.take<Bf16>(rows * call.V);
    states = arena.take<Bf16>(statesSizeOf(call));
    chunks.gamma = arena.take<float>(heads * numChunksOf(call) * call.K);
    if (deltaForwardIsCut(call)) effects = arena.take<char>(deltaEffectsBytes(call));
    chunks.prepared = arena.take<int32_t>(numDeltaCounts(heads, call.T));
  }
};

struct Workspace {
  WorkspaceParts arena;
  Bf16* adjoints;
  int32_t* finished;
  int32_t* left;  // of the chunks that are not taken whole
  DeltaBackwardMemory segments;
  bool takesWholeChunks = false;
  float* betaShares = nullptr;  // which the kernel of whole chunks does without

  Workspace(const Call& call, void* base) : arena(base), segments(call, arena) {
    adjoints = arena.take<Bf16>(statesSizeOf(call));
    finished = arena.take<int32_t>(numDeltaCounts(call.B * call.H, call.T));
    left = arena.take<int32_t>(call.B * call.H * numChunksOf(call));
    const int parts = deltaBetaParts(call.K);
    DeltaDevice device;
    takesWholeChunks = deltaDevice(device) == cudaSuccess && deltaTakesWholeChunks(device, call.K, call.V);
    if (parts > 1 && !takesWholeChunks) betaShares = arena.take<float>(parts * call.B * call.T * call.H);
  }
};

/// `counts`: so that a sweep can begin beside it.
cudaError_t prepare(const Call& call, Kept& kept, bool counts, cudaStream_t stream) {
  DeltaDevice device;
  const cudaError_t error = deltaDevice(device);
  if (error != cudaSuccess) return error;
  if (!counts || deltaSweepLeaves(device, call.B * call.H, call.K, call.V) == 0)
    kept.chunks.prepared = nullptr;
  return launchDeltaDiagonalPrepare({call.B, call.T, call.H, call.K, call.V, call.scale, bf16(call.q),
                                     bf16(call.k), bf16(call.v), call.beta, call.g, call.resets, kept.chunks},
                                    device, stream);
}

}  // namespace

size_t deltaDiagonalKeptBytes(const Call& call) {
  return Kept(call, nullptr).arena.used();
}

size_t deltaDiagonalWorkspaceBytes(const Call& call) {
  return Workspace(call, nullptr).arena.used();
}

DeltaChunks deltaDiagonalChunks(const Call& call, const void* kept) {
  return Kept(call, kept).chunks;
}

cudaError_t deltaDiagonalPrepare(const Call& call, void* kept, cudaStream_t stream) {
  Kept parts(call, kept);
  return prepare(call, parts, false, stream);
}

cudaError_t deltaDiagonalForward(const Call& call, const LongscanDeltaRuleForward& io, cudaStream_t stream) {
  Kept kept(call, io.kept);
  if (io.prepared) {
    kept.chunks.prepared = nullptr;
  } else {
    const cudaError_t error = prepare(call, kept, !deltaForwardIsCut(call), stream);
    if (error != cudaSuccess) return error;
  }
  DeltaSweepCall sweep = sweepOf(call, kept.chunks);
  sweep.states = kept.states;
  return launchDeltaOutputs(call, io, sweep, kept.effects, stream);
}

cudaError_t deltaDiagonalBackward(const Call& call, const LongscanDeltaRuleBackward& io,
                                  cudaStream_t stream) {
  const Kept kept(call, io.kept);
  const Workspace work(call, io.workspace);
  DeltaSweepCall sweep = sweepOf(call, kept.chunks);
  sweep.dO = bf16(io.dO);
  sweep.dht = io.dht;
  sweep.adjoints = work.adjoints;
  sweep.dv = static_cast<Bf16*>(io.dv);
  sweep.dh0 = io.dh0;
  DeltaDevice device;
  cudaError_t error = deltaDevice(device);
  if (error != cudaSuccess) return error;
  if (device.sharesTime) sweep.finished = work.finished;
  const void* const effects = io.segments != nullptr ? io.segments : kept.effects;
  error = launchDeltaAdjoints(call, sweep, effects, io.leaving, work.segments, stream);
  if (error != cudaSuccess) return error;
  const bool inShares = io.dbeta != nullptr && work.betaShares != nullptr;
  const DeltaDiagonalGradientCall gradient{call.B,
                                           call.T,
                                           call.H,
                                           call.K,
                                           call.V,
                                           call.scale,
                                           bf16(call.q),
                                           bf16(call.k),
                                           call.beta,
                                           call.g,
                                           call.resets,
                                           io.h0 == nullptr,
                                           bf16(io.dO),
                                           bf16(io.dv),
                                           kept.chunks.u,
                                           kept.states,
                                           work.adjoints,
                                           sweep.finished,
                                           static_cast<Bf16*>(io.dq),
                                           static_cast<Bf16*>(io.dk),
                                           inShares ? work.betaShares : io.dbeta,
                                           work.takesWholeChunks,
                                           io.dg};
  if (work.takesWholeChunks) {
    // Behind the chunks' counts, which the sweep's launch has cleared.
    int32_t* const drawn = work.finished + call.B * call.H * numChunksOf(call);
    error = launchDeltaWholeGradient(gradient, {drawn, work.left, kept.chunks.outOf, kept.chunks.gamma},
                                     device, stream);
    if (error == cudaSuccess)
      error = launchDeltaLeftGradient(gradient, {work.left, drawn + 1}, device, stream);
  } else {
    error = launchDeltaDiagonalGradient(gradient, stream);
  }
  if (error != cudaSuccess || !inShares) return error;
  const int64_t tokens = call.B * call.T * call.H;
  return launchDeltaBetaSum(work.betaShares, deltaBetaParts(call.K), tokens, io.dbeta, stream);
}

}  // namespace longscan
