#pragma once

#include <cuda_runtime.h>

#include "segments.h"

namespace longscan {

/// What each segment makes of a zero state, of a recurrence with scalar decay or none and without documents:
/// sum_t e^{c - c_t} k_t v_t^T, or against time sum_t e^{c_t} q_t dO_t^T, with log decays c_t from the
/// segment's start up to and with t, c up to its end.
struct SegmentSumCall : SegmentedCall {
  bool backward;   // against time
  SweepRows y, z;  // of K and of V channels
  const float* g;  // [B, T, H] if `gatePerToken`, else [H]; null: none
  bool gatePerToken;
  float* states;  // [B, H, segments, V, K]
  float* factor;  // [B, H, segments]: e^c
  int* reset;     // [B, H, segments]: becomes 0
};

/// Where `traceFits`.
cudaError_t launchSegmentSum(const SegmentSumCall& call, cudaStream_t stream);

}  // namespace longscan
