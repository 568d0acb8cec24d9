#include "diagonal.h"

#include <cuda_bf16.h>

#include "../chunkwise/backward.h"
#include "../chunkwise/forward.h"
#include "../chunkwise/gradient.h"
#include "../sweep/call.h"
#include "cuda/tile.cuh"
#include "gradient.h"
#include "whole.h"

namespace longscan {

namespace {

using Call = LongscanDeltaRule;
using Bf16 = __nv_bfloat16;

using Kept = DeltaKept<Bf16>;

struct Workspace {
  WorkspaceParts arena;
  Bf16* adjoints;
  int32_t* finished = nullptr;  // where gradients begin beside the sweep
  DeltaBackwardMemory segments;
  bool takesWholeChunks;
  int32_t* left = nullptr;      // of whole chunks: those that decay too far to be taken so
  float* betaShares = nullptr;  // which the kernel of whole chunks does without

  Workspace(const Call& call, const DeltaDevice& device, void* base)
      : arena(base),
        segments(call, device, arena),
        takesWholeChunks(deltaTakesWholeChunks(device, call.K, call.V)) {
    const int64_t heads = call.B * call.H;
    adjoints = arena.take<Bf16>(heads * numDeltaChunks(call.T) * call.K * call.V);
    if (device.sharesTime) finished = arena.take<int32_t>(numDeltaCounts(heads, call.T));
    const int parts = deltaBetaParts(call.K);
    if (takesWholeChunks)
      left = arena.take<int32_t>(heads * numDeltaChunks(call.T));
    else if (parts > 1)
      betaShares = arena.take<float>(parts * call.B * call.T * call.H);
  }
};

}  // namespace

size_t deltaDiagonalWorkspaceBytes(const Call& call, const DeltaDevice& device) {
  return Workspace(call, device, nullptr).arena.used();
}

cudaError_t deltaDiagonalBackward(const Call& call, const LongscanDeltaRuleBackward& io,
                                  const DeltaDevice& device, cudaStream_t stream) {
  const Kept kept(call, io.kept);
  const Workspace work(call, device, io.workspace);
  DeltaSweepCall sweep = sweepOf(call, chunksOf(kept));
  sweep.dO = bf16(io.dO);
  sweep.dht = io.dht;
  sweep.adjoints = work.adjoints;
  sweep.dv = static_cast<Bf16*>(io.dv);
  sweep.dh0 = io.dh0;
  sweep.finished = work.finished;
  const void* const effects = io.segments != nullptr ? io.segments : effectsOf(call, kept);
  cudaError_t error = launchDeltaAdjoints(call, sweep, effects, io.leaving, work.segments, stream);
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
                                           kept.u,
                                           kept.states,
                                           work.adjoints,
                                           work.finished,
                                           static_cast<Bf16*>(io.dq),
                                           static_cast<Bf16*>(io.dk),
                                           inShares ? work.betaShares : io.dbeta,
                                           work.takesWholeChunks,
                                           io.dg};
  if (work.takesWholeChunks) {
    // Behind the chunks' counts, which the sweep's launch has cleared.
    int32_t* const drawn = work.finished + call.B * call.H * numDeltaChunks(call.T);
    error = launchDeltaWholeGradient(gradient, {drawn, work.left, kept.outOf, kept.gamma}, device, stream);
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
