#include "cuda_forward.h"

#include "cuda_summary_fold.h"

namespace longscan {

namespace {

/// Room for the states that enter the segments.
struct Workspace {
  WorkspaceParts arena;
  float* entering = nullptr;

  Workspace(const LongscanDeltaRule& call, void* base) : arena(base) {
    if (!deltaSummarizes()) return;
    const int count = deltaSegments(call).count;
    if (count > 1) entering = arena.take<float>(count * call.B * call.H * call.V * call.K);
  }
};

}  // namespace

bool deltaForwardIsCut(const LongscanDeltaRule& call) {
  DeltaDevice device;
  if (!deltaSummarizes() || deltaDevice(device) != cudaSuccess) return false;
  const Segments cut = deltaSegments(call);
  if (cut.count == 1) return false;
  // In what a chunk takes the sweep: what it takes a multiprocessor to prepare one, which runs beside a sweep
  // that is not cut, and a segment's start and its part in the fold.
  constexpr int64_t multiprocessors = 132, prepareChunk = 3, segmentStart = 4;
  const int64_t heads = call.B * call.H, chunks = (call.T + tileTokens - 1) / tileTokens;
  const int64_t blocks = deltaForwardBlocks(device, heads, call.K, call.V);
  const auto rounds = [](int64_t blocks) { return (blocks + multiprocessors - 1) / multiprocessors; };
  const int64_t each = cut.tokens / tileTokens + segmentStart;
  const int64_t prepare = prepareChunk * heads * chunks / multiprocessors;
  return prepare + each + cut.count + rounds(blocks * cut.count) * each < rounds(blocks) * chunks;
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
    error = launchDeltaEffects(call, sweep.chunks, segments, segments.cut.count, segments.states,
                               segments.factors, stream);
  if (error == cudaSuccess)
    error = launchDeltaEnter(foldOf(call, segments, segments.states), io.h0, work.entering, stream);
  if (error != cudaSuccess) return error;
  sweep.segmentChunks = static_cast<int>(segments.cut.tokens / tileTokens);
  sweep.numSegments = segments.cut.count;
  sweep.h0 = work.entering;
  return launchDeltaForwardSweep(sweep, stream);
}

}  // namespace longscan
