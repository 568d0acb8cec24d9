#include "cuda_diagonal.h"

#include <cuda_bf16.h>

#include "cuda/tile.cuh"
#include "cuda_backward.h"
#include "cuda_diagonal_gradient.h"
#include "cuda_forward.h"
#include "cuda_gradient.h"
#include "cuda_sweep_call.h"

namespace longscan {

namespace {

using Call = LongscanDeltaRule;
using Bf16 = __nv_bfloat16;

using Kept = DeltaKept<Bf16>;

struct Workspace {
  WorkspaceParts arena;
  Bf16* adjoints;
  int32_t* finished;
  DeltaBackwardMemory segments;
  float* betaShares = nullptr;

  Workspace(const Call& call, void* base) : arena(base), segments(call, arena) {
    const int64_t heads = call.B * call.H;
    adjoints = arena.take<Bf16>(heads * numDeltaChunks(call.T) * call.K * call.V);
    finished = arena.take<int32_t>(numDeltaCounts(heads, call.T));
    const int parts = deltaBetaParts(call.K);
    if (parts > 1) betaShares = arena.take<float>(parts * call.B * call.T * call.H);
  }
};

}  // namespace

size_t deltaDiagonalWorkspaceBytes(const Call& call) {
  return Workspace(call, nullptr).arena.used();
}

cudaError_t deltaDiagonalBackward(const Call& call, const LongscanDeltaRuleBackward& io,
                                  cudaStream_t stream) {
  const Kept kept(call, io.kept);
  const Workspace work(call, io.workspace);
  DeltaSweepCall sweep = sweepOf(call, chunksOf(kept));
  sweep.dO = bf16(io.dO);
  sweep.dht = io.dht;
  sweep.adjoints = work.adjoints;
  sweep.dv = static_cast<Bf16*>(io.dv);
  sweep.dh0 = io.dh0;
  DeltaDevice device;
  cudaError_t error = deltaDevice(device);
  if (error != cudaSuccess) return error;
  if (device.sharesTime) sweep.finished = work.finished;
  const void* const effects = io.segments != nullptr ? io.segments : effectsOf(call, kept);
  error = launchDeltaAdjoints(call, sweep, effects, io.leaving, work.segments, stream);
  if (error != cudaSuccess) return error;
  const bool inShares = io.dbeta != nullptr && deltaBetaParts(call.K) > 1;
  error = launchDeltaDiagonalGradient({call.B,
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
                                       sweep.finished,
                                       static_cast<Bf16*>(io.dq),
                                       static_cast<Bf16*>(io.dk),
                                       inShares ? work.betaShares : io.dbeta,
                                       io.dg},
                                      stream);
  if (error != cudaSuccess || !inShares) return error;
  const int64_t tokens = call.B * call.T * call.H;
  return launchDeltaBetaSum(work.betaShares, deltaBetaParts(call.K), tokens, io.dbeta, stream);
}

}  // namespace longscan
