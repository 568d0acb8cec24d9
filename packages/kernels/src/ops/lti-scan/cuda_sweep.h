#pragma once

#include <cuda_runtime.h>

#include "cuda_plan.h"

namespace longscan {

/// A sweep over every segment of every batch row: states with time from u, or their adjoints against it from
/// dy.
struct LtiSweep {
  bool backward;
  const void* from;       // u or dy
  void* to;               // y or du, or null: only what the segments leave is wanted
  const float* entering;  // [B, segments, C, N, 2], or null: zero
  float* leaving;         // like that, or null: not wanted
  int* reset;             // [B, segments], whether a document starts in it, or null: not wanted
};
cudaError_t launchLtiSweep(const LongscanLtiScan& call, const LtiPlan& plan, const LtiSweep& sweep,
                           cudaStream_t stream);

/// The segments' effects (null: a single segment, whose effect is not wanted), folded in the order of the
/// sweep from `incoming` (null: zero): what enters each (or null), and what leaves the last (or null).
struct LtiFold {
  bool backward;
  const float* effects;
  const int* reset;
  const float* incoming;  // [B, C, N, 2]
  float* entering;
  float* outgoing;  // [B, C, N, 2]
};
cudaError_t launchLtiFold(const LongscanLtiScan& call, const LtiPlan& plan, const LtiFold& fold,
                          cudaStream_t stream);

/// lambda^T for every batch row.
cudaError_t launchLtiFactor(const LongscanLtiScan& call, float* factor, cudaStream_t stream);

/// Every segment's share of the parameters' gradients, [B, segments, C, N, 2]: from the states that enter it
/// and the adjoints of those that leave it.
struct LtiShares {
  const void* dy;
  const float *states, *adjoints;
  float *lambda, *w;
};
cudaError_t launchLtiShares(const LongscanLtiScan& call, const LtiPlan& plan, const LtiShares& shares,
                            cudaStream_t stream);

}  // namespace longscan
