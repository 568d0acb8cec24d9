#pragma once

#include <cuda_runtime.h>

#include "segments.h"

namespace longscan {

/// The outputs of a recurrence with scalar decay or none, and without documents:
///   o_t = scale * (e^{c_t} S^T q_t + sum over s <= t of the chunk of e^{c_t - c_s} (q_t . k_s) v_s)
/// with S before the chunk and log decays c_t from its start up to and with t.
struct TraceCall : SegmentedCall {
  float scale;
  SweepRows q, k, v;
  const float* g;  // [B, T, H] if `gatePerToken`, else [H]; null: none
  bool gatePerToken;
  const float* states;  // [B, H, segments, V, K]: S as it enters each segment
  float* last;          // [B, H, V, K]: S after the last segment, or null
  __nv_bfloat16* o;     // [B, T, H, V]
};

/// Whether there is such a sweep for these head sizes on the present device.
bool traceFits(int K, int V);

cudaError_t launchTrace(const TraceCall& call, cudaStream_t stream);

}  // namespace longscan
