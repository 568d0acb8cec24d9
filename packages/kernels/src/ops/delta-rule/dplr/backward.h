#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kept.h"

// The kernels of the backward pass: the chain of adjoints against time, what else values get, and the
// gradients of a chunk's tokens and gates.

namespace longscan {

/// What these kernels leave for each other. Tiles lie as those of DplrKept do.
struct DplrBackwardMemory {
  WorkspaceParts arena;
  __nv_bfloat16* dX;        // [chunk, valueTiles, 64 tokens, 64]
  __nv_bfloat16* z;         // Z = Y^T dX, likewise
  __nv_bfloat16* adjoints;  // D^T behind the chunk, [chunk, valueTiles, 64, keys]

  DplrBackwardMemory(const LongscanDplr& call, void* base) : arena(base) {
    const DplrSizes sizes(call);
    const int64_t tiles = sizes.count * sizes.valueTiles;
    dX = arena.take<__nv_bfloat16>(tiles * dplrChunkTokens * dplrValues);
    z = arena.take<__nv_bfloat16>(tiles * dplrChunkTokens * dplrValues);
    adjoints = arena.take<__nv_bfloat16>(tiles * dplrValues * sizes.keys);
  }
};

/// D, and dX where it is wanted.
struct DplrAdjointCall {
  LongscanDplr slice;
  DplrKept<__nv_bfloat16> kept;
  const __nv_bfloat16* dO;
  const float* dht;              // [B, H, V, K], or null: zero
  float* dh0;                    // [B, H, V, K], or null: not wanted
  __nv_bfloat16 *dX, *adjoints;  // of DplrBackwardMemory, or null: not wanted
};

/// Z, and dv of every token.
struct DplrValuesCall {
  LongscanDplr slice;
  DplrKept<__nv_bfloat16> kept;
  DplrBackwardMemory memory;
  const __nv_bfloat16* dO;
  __nv_bfloat16* dv;
};

struct DplrGradientCall {
  LongscanDplr slice;
  DplrKept<__nv_bfloat16> kept;
  DplrBackwardMemory memory;
  LongscanDplrBackward io;
};

/// Shared memory of a block of those that take most; `keys` as in DplrSizes.
size_t dplrAdjointSharedBytes(int keys);
size_t dplrGradientSharedBytes(int keys);

cudaError_t launchDplrAdjoint(const DplrAdjointCall& call, cudaStream_t stream);
cudaError_t launchDplrValues(const DplrValuesCall& call, cudaStream_t stream);
cudaError_t launchDplrGradient(const DplrGradientCall& call, cudaStream_t stream);

}  // namespace longscan
