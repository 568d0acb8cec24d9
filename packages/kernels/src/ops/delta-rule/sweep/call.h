#pragma once

#include <cuda_bf16.h>

#include "../chunkwise/kept.h"
#include "../cuda.h"
#include "sweep.h"

namespace longscan {

inline const __nv_bfloat16* bf16(const void* tensor) {
  return static_cast<const __nv_bfloat16*>(tensor);
}

inline DeltaChunks chunksOf(const DeltaKept<__nv_bfloat16>& kept) {
  return {kept.inverse, kept.scores,    kept.into,  kept.outOf, kept.prepared,
          kept.queries, kept.writeKeys, kept.gamma, kept.w,     kept.u};
}

inline DeltaSlice sliceOf(const LongscanDeltaRule& call) {
  return {call.B, call.T, call.H, call.K, call.V, call.scale};
}

/// What both directions' sweeps take of a call; each adds its own inputs and outputs.
inline DeltaSweepCall sweepOf(const LongscanDeltaRule& call, const DeltaChunks& chunks) {
  DeltaSweepCall sweep{sliceOf(call)};
  sweep.diagonal = call.gate == longscanDeltaGateDiagonal;
  sweep.decays = call.gate != longscanDeltaGateNone;
  sweep.q = bf16(call.q);
  sweep.k = bf16(call.k);
  sweep.v = bf16(call.v);
  sweep.resets = call.resets;
  sweep.chunks = chunks;
  sweep.segmentChunks = static_cast<int>(numDeltaChunks(call.T));
  sweep.numSegments = 1;
  return sweep;
}

}  // namespace longscan
