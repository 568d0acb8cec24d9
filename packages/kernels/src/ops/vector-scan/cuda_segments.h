#pragma once

#include "cuda/combine.h"
#include "cuda/segments.h"
#include "cuda/workspace_parts.h"

namespace longscan {

/// Of the segments of each batch row, channel by channel: their effects, and the state that enters each.
struct SegmentEffects {
  int64_t B, channels;
  int numSegments;
  float *states, *factor, *entering;  // [B, segments, channels]
  int* reset;                         // [B, segments]

  SegmentEffects(int64_t B, int64_t channels, int numSegments, WorkspaceParts& parts)
      : B(B),
        channels(channels),
        numSegments(numSegments),
        states(parts.take<float>(B * numSegments * channels)),
        factor(parts.take<float>(B * numSegments * channels)),
        entering(parts.take<float>(B * numSegments * channels)),
        reset(parts.take<int>(B * numSegments)) {}

  /// Where a sweep leaves them.
  template <typename Sweep>
  void receive(Sweep& summary) const {
    summary.outgoing = states;
    summary.factor = factor;
    summary.reset = reset;
  }

  /// Their fold from `incoming` (null: zero), the last segment first if `backward`; the state after it goes
  /// to `outgoing`.
  CombineCall fold(bool backward, const float* incoming, float* outgoing) const {
    CombineCall fold{};
    fold.heads = B;
    fold.K = static_cast<int>(channels);
    fold.V = 1;
    fold.numSegments = numSegments;
    fold.backward = backward;
    fold.summaries = states;
    fold.factor = factor;
    fold.reset = reset;
    fold.diagonal = true;
    fold.incoming = incoming;
    fold.incomingScale = fold.outgoingScale = 1.0f;
    fold.states = entering;
    fold.outgoing = outgoing;
    return fold;
  }
};

}  // namespace longscan
