#pragma once

#include <cstdint>

#include "cuda.h"
#include "cuda/workspace_parts.h"

namespace longscan {

constexpr int ltiThreads = 128;
constexpr int ltiStage = 16;  // tokens that a block has in shared memory at once

/// How a call is laid over blocks: `lanes` threads share a channel and have `perLane` of its numbers each;
/// and how the slice is cut.
struct LtiPlan {
  int perLane = 1, lanes = 1, channels;
  int64_t channelBlocks, segmentTokens, stateSize;  // of one batch row, in numbers
  int numSegments;

  explicit LtiPlan(const LongscanLtiScan& call) : stateSize(2 * call.C * call.N) {
    if (call.N > 1) perLane = 8;
    while (perLane * lanes < call.N) lanes *= 2;
    channels = ltiThreads / lanes;
    channelBlocks = (call.C + channels - 1) / channels;
    // A multiprocessor works on some four blocks at a time. By the shape alone, so that the same shape always
    // gives the same bits.
    constexpr int64_t wantedBlocks = 4 * 132, fewestTokens = 256;
    const int64_t segments = wantedBlocks / (call.B * channelBlocks);
    segmentTokens = segments > 1 ? (call.T + segments - 1) / segments : call.T;
    if (segmentTokens < fewestTokens) segmentTokens = fewestTokens;
    segmentTokens = (segmentTokens + ltiStage - 1) / ltiStage * ltiStage;
    numSegments = static_cast<int>((call.T + segmentTokens - 1) / segmentTokens);
  }
};

/// [B, segments, stateSize] each, of states or adjoints; and shares of the parameters' gradients.
struct LtiWork {
  WorkspaceParts parts;
  float *effects, *entering, *shareLambda, *shareW;
  int* reset;  // [B, segments], whether a document starts in the segment

  LtiWork(const LongscanLtiScan& call, const LtiPlan& plan, void* base) : parts(base) {
    const int64_t segments = call.B * plan.numSegments, size = segments * plan.stateSize;
    effects = parts.take<float>(size);
    entering = parts.take<float>(size);
    shareLambda = parts.take<float>(size);
    shareW = parts.take<float>(size);
    reset = parts.take<int>(segments);
  }
};

}  // namespace longscan
