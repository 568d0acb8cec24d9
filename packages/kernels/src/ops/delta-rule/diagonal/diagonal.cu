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
  DeltaBackwardMemory swept;
  bool takesWholeChunks;
  int32_t* left = nullptr;      // of whole chunks: those that decay too far to be taken so
  float* betaShares = nullptr;  // which the kernel of whole chunks does without

  Workspace(const Call& call, const DeltaDevice& device, void* base)
      : arena(base),
        swept(call, device, arena),
        takesWholeChunks(deltaTakesWholeChunks(device, call.K, call.V)) {
    const int parts = deltaBetaParts(call.K);
    if (takesWholeChunks)
      left = arena.take<int32_t>(call.B * call.H * numDeltaChunks(call.T));
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
  cudaError_t error = launchDeltaAdjoints(call, io, kept, work.swept, stream);
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
                                           work.swept.adjoints,
                                           work.swept.finished,
                                           static_cast<Bf16*>(io.dq),
                                           static_cast<Bf16*>(io.dk),
                                           inShares ? work.betaShares : io.dbeta,
                                           work.takesWholeChunks,
                                           io.dg};
  if (work.takesWholeChunks) {
    // Behind the chunks' counts, which the sweep's launch has cleared.
    int32_t* const drawn = work.swept.finished + call.B * call.H * numDeltaChunks(call.T);
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
