#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace longscan {

/// Folds the summaries of a slice's segments: state' = reset ? E : M state + E, from `incoming` (null: zero)
/// times `incomingScale`. The state that enters each segment replaces `states` (which may be `summaries`, or
/// null); the one after all of them, times `outgoingScale`, goes to `outgoing` (or null).
struct CombineCall {
  int64_t heads;  // B * H
  int K, V, numSegments;
  bool backward;           // the last segment first
  const float* summaries;  // [heads, segments, V, K]; null: a single segment, whose effect is not wanted
  const float* factor;     // [heads, segments], or [heads, segments, K] if `diagonal`
  const int* reset;        // [heads, segments]
  bool diagonal;
  const float* incoming;  // [heads, V, K] or null
  float incomingScale, outgoingScale;
  float* states;    // [heads, segments, V, K] or null
  float* outgoing;  // [heads, V, K] or null
  float* last;      // the same without `outgoingScale`, or null
};

cudaError_t launchCombine(const CombineCall& call, cudaStream_t stream);

/// M of the slice, [heads] or [heads, K], the product of its segments' (or null), and of each batch row of
/// `H` heads whether a document starts in it, 1 or 0, [heads / H] (or null).
cudaError_t launchCombineFactors(const CombineCall& call, int H, float* factor, float* reset,
                                 cudaStream_t stream);

}  // namespace longscan
