#pragma once

#include "summary.h"

namespace longscan {

/// What the segments of a slice do to a state.
struct DeltaFoldInputs {
  int64_t heads;
  int K, V, numSegments;
  const float* states;    // E of each segment, [segments, B, H, V, K], or the adjoint that leaves it
  const float* factors;   // M^T of each segment, [segments, B, H, K, K]
  const int32_t* starts;  // [segments, B, H]: 1 where the segment forgets what came before
};

/// `states`: what each segment adds.
inline DeltaFoldInputs foldOf(const LongscanDeltaRule& call, const DeltaSegments& segments,
                              const float* states) {
  return {call.B * call.H, call.K, call.V, segments.cut.count, states, segments.factors, segments.starts};
}

/// What the slice does, the segments' composition: rows of E, [B, H, V, K], and M^T, [B, H, K, K], of one
/// after the other times M^T of the next, which adds its E.
cudaError_t launchDeltaCompose(const DeltaFoldInputs& segments, float* state, float* factor,
                               cudaStream_t stream);

/// The state that enters each segment, [segments, B, H, V, K], from the one that enters the slice,
/// [B, H, V, K] or null: zero. Of the last segment nothing is read.
cudaError_t launchDeltaEnter(const DeltaFoldInputs& segments, const float* incoming, float* entering,
                             cudaStream_t stream);

/// Against time: from D behind the slice, [B, H, V, K] or null: zero, that behind each segment, [segments, B,
/// H, V, K] or null, and before the slice, [B, H, V, K] or null. Of the first segment nothing is read if that
/// is null.
cudaError_t launchDeltaLeave(const DeltaFoldInputs& segments, const float* outgoing, float* behind,
                             float* before, cudaStream_t stream);

/// reset[b] = 1 where a segment of batch row b forgets what came before, else 0.
cudaError_t launchDeltaResets(const int32_t* starts, int64_t B, int H, int numSegments, float* reset,
                              cudaStream_t stream);

}  // namespace longscan
