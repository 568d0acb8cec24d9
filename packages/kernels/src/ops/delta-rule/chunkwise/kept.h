#pragma once

#include "cut.h"

namespace longscan {

/// What the forward pass leaves for the backward pass, its chunks as in DeltaChunks: by the shape alone, as
/// kept-on-gpu.ts counts it. `Half`: bf16.
template <typename Half>
struct DeltaKept {
  WorkspaceParts arena;
  Half *inverse, *scores, *queries = nullptr, *writeKeys = nullptr, *w, *u;
  float *into = nullptr, *outOf, *gamma = nullptr;
  Half* states;             // [B, H, chunks, V, K]: S before each chunk
  char* effects = nullptr;  // of DeltaSegments, should the forward sweep be cut into more than one
  int32_t* prepared;

  DeltaKept(const LongscanDeltaRule& call, const void* base) : arena(const_cast<void*>(base)) {
    const int64_t heads = call.B * call.H, chunks = heads * numDeltaChunks(call.T);
    const int64_t rows = chunks * deltaChunkTokens, keys = call.B * call.T * call.H * call.K;
    inverse = arena.take<Half>(rows * deltaChunkTokens);
    scores = arena.take<Half>(rows * deltaChunkTokens);
    const bool isDiagonal = call.gate == longscanDeltaGateDiagonal;
    if (!isDiagonal) into = arena.take<float>(rows);
    outOf = arena.take<float>(rows);
    if (isDiagonal) {
      queries = arena.take<Half>(keys);
      writeKeys = arena.take<Half>(keys);
    }
    w = arena.take<Half>(rows * call.K);
    u = arena.take<Half>(rows * call.V);
    states = arena.take<Half>(chunks * call.K * call.V);
    if (isDiagonal) gamma = arena.take<float>(chunks * call.K);
    const DeltaSegments segments(call, nullptr);
    if (segments.cut.count > 1) effects = arena.take<char>(static_cast<int64_t>(segments.arena.used()));
    prepared = arena.take<int32_t>(numDeltaCounts(heads, call.T));
  }
};

}  // namespace longscan
