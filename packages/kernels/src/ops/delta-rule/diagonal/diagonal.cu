#include "diagonal.h"

#include <cuda_bf16.h>

#include "../chunkwise/backward.h"
#include "gradient.h"
#include "whole.h"

namespace longscan {

namespace {

using Call = LongscanDeltaRule;

struct Workspace {
  WorkspaceParts arena;
  bool takesWholeChunks;
  DeltaBackwardMemory swept;
  int32_t* left = nullptr;  // of whole chunks: those that decay too far to be taken so

  Workspace(const Call& call, const DeltaDevice& device, void* base)
      : arena(base),
        takesWholeChunks(deltaTakesWholeChunks(device, call.K, call.V)),
        // The kernel of whole chunks adds its shares up.
        swept(call, device, takesWholeChunks ? 1 : deltaDotParts(call.K), arena) {
    if (takesWholeChunks) left = arena.take<int32_t>(call.B * call.H * numDeltaChunks(call.T));
  }
};

}  // namespace

size_t deltaDiagonalWorkspaceBytes(const Call& call, const DeltaDevice& device) {
  return Workspace(call, device, nullptr).arena.used();
}

cudaError_t deltaDiagonalBackward(const Call& call, const LongscanDeltaRuleBackward& io,
                                  const DeltaDevice& device, cudaStream_t stream) {
  const DeltaKept<__nv_bfloat16> kept(call, io.kept);
  const Workspace work(call, device, io.workspace);
  cudaError_t error = launchDeltaAdjoints(call, io, kept, work.swept, stream);
  if (error != cudaSuccess) return error;
  const DeltaDiagonalGradientCall gradient{{gradientTokensOf(call), io.h0 == nullptr},
                                           gradientTensorsOf(io, kept, work.swept),
                                           work.takesWholeChunks,
                                           io.dg};
  if (work.takesWholeChunks) {
    auto* const counts = reinterpret_cast<DeltaWholeCounts*>(work.swept.gradientCounts);
    error = launchDeltaWholeGradient(gradient, {counts, work.left, kept.outOf, kept.gamma}, device, stream);
    if (error == cudaSuccess)
      error = launchDeltaLeftGradient(gradient, {work.left, counts, deltaWholeBlocks(gradient, device)},
                                      device, stream);
  } else {
    error = launchDeltaDiagonalGradient(gradient, stream);
  }
  return error == cudaSuccess ? launchDeltaBeta(call, io, work.swept, stream) : error;
}

}  // namespace longscan
