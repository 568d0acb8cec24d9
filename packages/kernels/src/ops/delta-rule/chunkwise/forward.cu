#include "forward.h"

#include <algorithm>

#include "../summary/fold.h"

namespace longscan {

namespace {

/// What a segment takes in a sweep, with its start.
int64_t segmentChunks(const Segments& cut) {
  return cut.tokens / tileTokens + 4;
}

/// Whether a sweep by segments is over first, with what else has to come before it, in what a chunk takes a
/// sweep.
bool cutIsShorter(const LongscanDeltaRule& call, const Segments& cut, int64_t before) {
  DeltaDevice device;
  if (cut.count == 1 || deltaDevice(device) != cudaSuccess) return false;
  const int64_t chunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t blocks = deltaForwardBlocks(device, call.B * call.H, call.K, call.V);
  const auto rounds = [](int64_t blocks) {
    return (blocks + wantedMultiprocessors - 1) / wantedMultiprocessors;
  };
  const int64_t fold = 3 * cut.count * call.K / 128, ofCut = rounds(blocks * cut.count) * segmentChunks(cut);
  return before + fold + ofCut < rounds(blocks) * chunks;
}

/// Room for the states that enter the segments.
struct Workspace {
  WorkspaceParts arena;
  float* entering = nullptr;

  Workspace(const LongscanDeltaRule& call, void* base) : arena(base) {
    if (!deltaSummarizes()) return;
    const Segments cut = deltaSegments(call);
    if (cutIsShorter(call, cut, 0))
      entering = arena.take<float>(cut.count * call.B * call.H * call.V * call.K);
  }
};

}  // namespace

bool deltaForwardIsCut(const LongscanDeltaRule& call) {
  if (!deltaSummarizes()) return false;
  // What a chunk takes a multiprocessor to prepare, beside which a sweep that is not cut begins so much
  // later; and a summary.
  constexpr int64_t prepareChunk = 5, sweepBegins = 20, summaryChunk = 2;
  const int64_t chunks = call.B * call.H * ((call.T + tileTokens - 1) / tileTokens);
  const Segments cut = deltaSegments(call);
  const int64_t before =
      prepareChunk * chunks / wantedMultiprocessors + summaryChunk * segmentChunks(cut) - sweepBegins;
  // Not below zero: where this one is cut, there is room for what enters the segments.
  return cutIsShorter(call, cut, std::max<int64_t>(before, 0));
}

size_t deltaForwardWorkspaceBytes(const LongscanDeltaRule& call) {
  return Workspace(call, nullptr).arena.used();
}

cudaError_t launchDeltaOutputs(const LongscanDeltaRule& call, const LongscanDeltaRuleForward& io,
                               DeltaSweepCall sweep, void* effects, cudaStream_t stream) {
  sweep.h0 = io.h0;
  sweep.o = static_cast<__nv_bfloat16*>(io.o);
  sweep.ht = io.ht;
  const Workspace work(call, io.workspace);
  const void* const known = io.segments != nullptr ? io.segments : effects;
  if (work.entering == nullptr || known == nullptr) return launchDeltaForwardSweep(sweep, stream);

  const DeltaSegments segments(call, known);
  cudaError_t error = cudaSuccess;
  if (io.segments == nullptr)
    error = launchDeltaEffects(call, sweep.chunks, segments, segments.states, segments.factors, stream);
  if (error == cudaSuccess)
    error = launchDeltaEnter(foldOf(call, segments, segments.states), io.h0, work.entering, stream);
  if (error != cudaSuccess) return error;
  sweep.segmentChunks = static_cast<int>(segments.cut.tokens / tileTokens);
  sweep.numSegments = segments.cut.count;
  sweep.h0 = work.entering;
  return launchDeltaForwardSweep(sweep, stream);
}

}  // namespace longscan
