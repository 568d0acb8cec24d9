#include "cuda_diagonal.h"

#include <cuda_bf16.h>

#include "cuda/elements.cuh"
#include "cuda/tile.cuh"
#include "cuda/workspace_parts.h"
#include "cuda_diagonal_gradient.h"
#include "cuda_diagonal_prepare.h"
#include "cuda_sweep_call.h"

namespace longscan {

namespace {

using Call = LongscanDeltaRule;
using Bf16 = __nv_bfloat16;

int64_t numChunksOf(const Call& call) {
  return (call.T + tileTokens - 1) / tileTokens;
}

/// What `prepare` writes: the backward pass reads it again.
struct Kept {
  WorkspaceParts arena;
  DeltaChunks chunks{};

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
    chunks.gamma = arena.take<float>(heads * numChunksOf(call) * call.K);
  }
};

struct Workspace {
  WorkspaceParts arena;
  Bf16 *states, *adjoints, *corrections;
  float* betaShares = nullptr;

  Workspace(const Call& call, void* base) : arena(base) {
    const int64_t statesSize = call.B * call.H * numChunksOf(call) * call.K * call.V;
    states = arena.take<Bf16>(statesSize);
    adjoints = arena.take<Bf16>(statesSize);
    corrections = arena.take<Bf16>(call.B * call.T * call.H * call.V);
    const int parts = deltaBetaParts(call.K);
    if (parts > 1) betaShares = arena.take<float>(parts * call.B * call.T * call.H);
  }
};

struct SumOfShares {
  const float* shares;
  int64_t tokens;
  int parts;
  float* sums;

  __device__ void operator()(int64_t i) const {
    float sum = shares[i];
    for (int part = 1; part < parts; part++) sum += shares[part * tokens + i];
    sums[i] = sum;
  }
};

}  // namespace

size_t deltaDiagonalKeptBytes(const Call& call) {
  return Kept(call, nullptr).arena.used();
}

size_t deltaDiagonalWorkspaceBytes(const Call& call) {
  return Workspace(call, nullptr).arena.used();
}

cudaError_t deltaDiagonalForward(const Call& call, const LongscanDeltaRuleForward& io, cudaStream_t stream) {
  const Kept kept(call, io.kept);
  const cudaError_t error =
      launchDeltaDiagonalPrepare({call.B, call.T, call.H, call.K, call.V, call.scale, bf16(call.q),
                                  bf16(call.k), bf16(call.v), call.beta, call.g, call.resets, kept.chunks},
                                 stream);
  if (error != cudaSuccess) return error;
  DeltaSweepCall sweep = sweepOf(call, kept.chunks);
  sweep.h0 = io.h0;
  sweep.o = static_cast<Bf16*>(io.o);
  sweep.ht = io.ht;
  return launchDeltaForwardSweep(sweep, stream);
}

cudaError_t deltaDiagonalBackward(const Call& call, const LongscanDeltaRuleBackward& io,
                                  cudaStream_t stream) {
  const Kept kept(call, io.kept);
  const Workspace work(call, io.workspace);
  DeltaSweepCall sweep = sweepOf(call, kept.chunks);
  sweep.h0 = io.h0;
  sweep.states = work.states;
  sweep.corrections = work.corrections;
  sweep.dO = bf16(io.dO);
  sweep.dht = io.dht;
  sweep.adjoints = work.adjoints;
  sweep.dv = static_cast<Bf16*>(io.dv);
  sweep.dh0 = io.dh0;
  cudaError_t error = launchDeltaBackwardSweeps(sweep, stream);
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
                                       work.corrections,
                                       work.states,
                                       work.adjoints,
                                       static_cast<Bf16*>(io.dq),
                                       static_cast<Bf16*>(io.dk),
                                       inShares ? work.betaShares : io.dbeta,
                                       io.dg},
                                      stream);
  if (error != cudaSuccess || !inShares) return error;
  const int64_t tokens = call.B * call.T * call.H;
  return forEachElement(tokens, SumOfShares{work.betaShares, tokens, deltaBetaParts(call.K), io.dbeta},
                        stream);
}

}  // namespace longscan
