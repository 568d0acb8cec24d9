#include "backward.h"

#include <cmath>

#include "../summary/fold.h"
#include "../sweep/call.h"
#include "forward.h"

namespace longscan {

namespace {

/// Of the gradients beside a sweep, in what a chunk takes the sweep alone: what those of a chunk take one
/// multiprocessor, and the part of it by which both together take longer than the sweep. One H200.
struct GradientTimes {
  double each, beside;

  GradientTimes(const LongscanDeltaRule& call, double blocks) {
    const bool isDiagonal = call.gate == longscanDeltaGateDiagonal, isSmall = call.K <= 64;
    each = isDiagonal ? (isSmall ? 8 : 7.4) : (isSmall ? 4.8 : 6.5);
    beside = isSmall || (isDiagonal && 3 * blocks > wantedMultiprocessors) ? 0.95 : 0.45;
  }
};

struct IsCut {
  bool ifKnown, ifNot;
};

/// Whether the segments' two sweeps, or one if it is known what leaves them, and the gradients after them
/// take less time than one sweep with the gradients beside it.
IsCut isCut(const LongscanDeltaRule& call, const DeltaDevice& device, const Segments& cut) {
  if (cut.count == 1 || !deltaSummarizes()) return {};
  // A chunk where no multiprocessor is idle, a segment's beginning, and its part in the fold.
  constexpr double busy = 1.2, begin = 4, fold = 2;
  const int64_t heads = call.B * call.H;
  const auto chunks = static_cast<double>((call.T + tileTokens - 1) / tileTokens);
  const auto blocks = static_cast<double>(deltaBackwardBlocks(device, heads, call.K, call.V));
  const GradientTimes times(call, blocks);
  const double gradients = times.each * static_cast<double>(heads) * chunks / wantedMultiprocessors;
  const double whole = std::ceil(blocks / wantedMultiprocessors) * chunks + times.beside * gradients;
  const double sweep = std::ceil(blocks * cut.count / wantedMultiprocessors) *
                       (busy * static_cast<double>(cut.tokens / tileTokens) + begin);
  const double rest = fold * cut.count + gradients;
  return {sweep + rest < whole, 2 * sweep + rest < whole};
}

}  // namespace

DeltaBackwardMemory::DeltaBackwardMemory(const LongscanDeltaRule& call, const DeltaDevice& device,
                                         int numBetaShares, WorkspaceParts& arena)
    : numBetaShares(numBetaShares) {
  const Segments cut = deltaSegments(call);
  const auto [ifKnown, ifNot] = isCut(call, device, cut);
  const int64_t heads = call.B * call.H, states = cut.count * heads * call.V * call.K;
  if (ifKnown) behind = arena.take<float>(states);
  if (ifNot) leaving = arena.take<float>(states);
  adjoints = arena.take<__nv_bfloat16>(heads * numDeltaChunks(call.T) * call.K * call.V);
  if (device.sharesTime) {
    finished = arena.take<int32_t>(numDeltaCounts(heads, call.T));
    gradientCounts = finished + heads * numDeltaChunks(call.T);
  }
  if (numBetaShares > 1) betaShares = arena.take<float>(numBetaShares * call.B * call.T * call.H);
}

cudaError_t launchDeltaAdjoints(const LongscanDeltaRule& call, const LongscanDeltaRuleBackward& io,
                                const DeltaKept<__nv_bfloat16>& kept, const DeltaBackwardMemory& memory,
                                cudaStream_t stream) {
  DeltaSweepCall sweep = sweepOf(call, chunksOf(kept));
  sweep.dO = bf16(io.dO);
  sweep.dht = io.dht;
  sweep.adjoints = memory.adjoints;
  sweep.dv = static_cast<__nv_bfloat16*>(io.dv);
  sweep.dh0 = io.dh0;
  sweep.finished = memory.finished;
  const void* const effects = io.segments != nullptr ? io.segments : effectsOf(call, kept);
  const auto* leaving = static_cast<const float*>(io.leaving);
  const bool isCut = (leaving != nullptr ? memory.behind : memory.leaving) != nullptr;
  if (effects == nullptr || !isCut) return launchDeltaBackwardSweep(sweep, stream);
  const DeltaSegments segments(call, effects);
  sweep.segmentChunks = static_cast<int>(segments.cut.tokens / tileTokens);
  sweep.numSegments = segments.cut.count;
  cudaError_t error = cudaSuccess;
  if (leaving == nullptr) {
    DeltaSweepCall own = sweep;
    own.leaving = memory.leaving;
    own.dht = nullptr;
    own.firstSegment = 1;  // of the first one nothing is wanted
    own.finished = nullptr;
    error = launchDeltaLeavingSweep(own, stream);
    leaving = memory.leaving;
  }
  if (error == cudaSuccess)
    error = launchDeltaLeave(foldOf(call, segments, leaving), sweep.dht, memory.behind, nullptr, stream);
  if (error != cudaSuccess) return error;
  sweep.dht = memory.behind;
  return launchDeltaBackwardSweep(sweep, stream);
}

DeltaGradientTokens gradientTokensOf(const LongscanDeltaRule& call) {
  return {sliceOf(call), bf16(call.q), bf16(call.k), call.beta, call.g, bf16(call.b), call.resets};
}

DeltaGradientTensors gradientTensorsOf(const LongscanDeltaRuleBackward& io,
                                       const DeltaKept<__nv_bfloat16>& kept,
                                       const DeltaBackwardMemory& memory) {
  const bool inShares = io.dbeta != nullptr && memory.betaShares != nullptr;
  return {bf16(io.dO),
          bf16(io.dv),
          kept.u,
          kept.states,
          memory.adjoints,
          memory.finished,
          static_cast<__nv_bfloat16*>(io.dq),
          static_cast<__nv_bfloat16*>(io.dk),
          static_cast<__nv_bfloat16*>(io.db),
          inShares ? memory.betaShares : io.dbeta};
}

cudaError_t launchDeltaBeta(const LongscanDeltaRule& call, const LongscanDeltaRuleBackward& io,
                            const DeltaBackwardMemory& memory, cudaStream_t stream) {
  if (io.dbeta == nullptr || memory.betaShares == nullptr) return cudaSuccess;
  return launchDeltaBetaSum(memory.betaShares, memory.numBetaShares, call.B * call.T * call.H, io.dbeta,
                            stream);
}

}  // namespace longscan
