#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda_sweep.h"

namespace longscan {

/// The outputs of a recurrence without decay and without documents:
///   o_t = scale * (S^T q_t + sum over s <= t of the chunk of (q_t . k_s) v_s)
struct TraceCall {
  int64_t B, T;
  int H, G, K, V;
  float scale;
  int numSegments, chunksPerSegment;
  const __nv_bfloat16 *q, *k;  // [B, T, G, K]
  const __nv_bfloat16* v;      // [B, T, H, V]
  const float* states;         // [B, H, segments, V, K]: S as it enters each segment
  float* last;                 // [B, H, V, K]: S after the last segment, or null
  __nv_bfloat16* o;            // [B, T, H, V]
};

/// Where `retraceFits`.
cudaError_t launchTrace(const TraceCall& call, cudaStream_t stream);

}  // namespace longscan
