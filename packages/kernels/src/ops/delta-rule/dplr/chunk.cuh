#pragma once

#include "cuda/pieces.cuh"
#include "tiles.cuh"

namespace longscan {

/// A block's chunk, and where its tokens are.
struct DplrChunk : DplrPlace {
  int64_t firstToken;  // of [B * T]
  int length;

  __device__ DplrChunk(const LongscanDplr& call, int64_t number)
      : DplrPlace(number, (call.T + tileTokens - 1) / tileTokens, call.H),
        firstToken(batch * call.T + first),
        length(static_cast<int>(min(static_cast<int64_t>(tileTokens), call.T - first))) {}
};

}  // namespace longscan
