#include "cuda.h"

#include <cuda_bf16.h>

#include "chunkwise/backward.h"
#include "chunkwise/forward.h"
#include "chunkwise/gradient.h"
#include "chunkwise/prepare.h"
#include "cuda/tile.cuh"
#include "diagonal/diagonal.h"
#include "diagonal/gradient.h"
#include "diagonal/prepare.h"
#include "summary/summary.h"
#include "sweep/call.h"

namespace longscan {

namespace {

using Call = LongscanDeltaRule;
using Bf16 = __nv_bfloat16;

using Kept = DeltaKept<Bf16>;

struct Workspace {
  WorkspaceParts arena;
  DeltaBackwardMemory swept;
  float *risingDots = nullptr, *fallingDots = nullptr, *eraseDots = nullptr, *ends = nullptr;

  Workspace(const Call& call, const DeltaDevice& device, void* base)
      : arena(base), swept(call, device, deltaBetaShares(call.K), arena) {
    const int64_t heads = call.B * call.H, chunks = heads * numDeltaChunks(call.T);
    if (call.gate == longscanDeltaGateNone) return;
    const int parts = deltaDotParts(call.K);
    risingDots = arena.take<float>(heads * call.T * parts);
    fallingDots = arena.take<float>(heads * call.T * parts);
    if (call.b != nullptr) eraseDots = arena.take<float>(heads * call.T * parts);
    ends = arena.take<float>(chunks * parts);
  }
};

bool isDiagonal(const Call& call) {
  return call.gate == longscanDeltaGateDiagonal;
}

/// Whether the device's blocks have the shared memory for every kernel of both passes.
bool fits(const Call& call) {
  DeltaDevice device;
  if (deltaDevice(device) != cudaSuccess || !deltaSweepsFit(call.K)) return false;
  return isDiagonal(call) ? deltaDiagonalGradientFits(device)
                          : deltaGradientFits(device, call.K, call.b != nullptr);
}

bool supported(const Call& call) {
  const auto headSize = [](int size, int most) { return size > 0 && size <= most && size % 8 == 0; };
  const bool gated = call.gate == longscanDeltaGateScalar || isDiagonal(call);
  return call.B > 0 && call.T > 0 && call.H > 0 && headSize(call.K, 256) && headSize(call.V, 512) &&
         (gated || call.gate == longscanDeltaGateNone) && gated == (call.g != nullptr) &&
         !(isDiagonal(call) && call.b != nullptr) && fits(call);
}

/// `counts`: so that a sweep can begin beside it.
cudaError_t prepare(const Call& call, DeltaChunks& chunks, bool counts, cudaStream_t stream) {
  DeltaDevice device;
  const cudaError_t error = deltaDevice(device);
  if (error != cudaSuccess) return error;
  if (!counts || deltaSweepLeaves(device, call.B * call.H, call.K, call.V) == 0) chunks.prepared = nullptr;
  const DeltaPrepareCall task{sliceOf(call), bf16(call.q), bf16(call.k), bf16(call.v), call.beta,
                              call.g,        bf16(call.b), call.resets,  chunks};
  return isDiagonal(call) ? launchDeltaDiagonalPrepare(task, device, stream)
                          : launchDeltaPrepare(task, device, stream);
}

cudaError_t forward(const Call& call, const LongscanDeltaRuleForward& io, cudaStream_t stream) {
  const Kept kept(call, io.kept);
  DeltaChunks chunks = chunksOf(kept);
  if (io.prepared) {
    chunks.prepared = nullptr;
  } else {
    const cudaError_t error = prepare(call, chunks, !deltaForwardIsCut(call), stream);
    if (error != cudaSuccess) return error;
  }
  DeltaSweepCall sweep = sweepOf(call, chunks);
  sweep.states = kept.states;
  return launchDeltaOutputs(call, io, sweep, effectsOf(call, kept), stream);
}

cudaError_t backward(const Call& call, const LongscanDeltaRuleBackward& io, const DeltaDevice& device,
                     cudaStream_t stream) {
  const Kept kept(call, io.kept);
  const Workspace work(call, device, io.workspace);
  cudaError_t error = launchDeltaAdjoints(call, io, kept, work.swept, stream);
  if (error != cudaSuccess) return error;
  error = launchDeltaGradient(
      {gradientTokensOf(call), gradientTensorsOf(io, kept, work.swept), work.swept.gradientCounts,
       work.risingDots, work.fallingDots, work.eraseDots, work.ends},
      stream);
  if (error == cudaSuccess) error = launchDeltaBeta(call, io, work.swept, stream);
  if (error != cudaSuccess || call.gate == longscanDeltaGateNone) return error;
  return launchDeltaGateGradient(
      {call.B, call.T, call.H, deltaDotParts(call.K), work.risingDots, work.fallingDots, work.eraseDots,
       work.ends, call.resets, device.sharesTime, io.h0 == nullptr, io.dg},
      stream);
}

}  // namespace

DeltaChunks deltaPreparedChunks(const Call& call, const void* kept) {
  DeltaChunks chunks = chunksOf(Kept(call, kept));
  chunks.prepared = nullptr;
  return chunks;
}

}  // namespace longscan

using namespace longscan;

int longscanDeltaRuleTakes(const LongscanDeltaRule* call) {
  return supported(*call) ? 1 : 0;
}

size_t longscanDeltaRuleKeptBytes(const LongscanDeltaRule* call) {
  if (!supported(*call)) return 0;
  return Kept(*call, nullptr).arena.used();
}

size_t longscanDeltaRuleWorkspaceBytes(const LongscanDeltaRule* call) {
  DeltaDevice device;
  if (!supported(*call) || deltaDevice(device) != cudaSuccess) return 0;
  return isDiagonal(*call) ? deltaDiagonalWorkspaceBytes(*call, device)
                           : Workspace(*call, device, nullptr).arena.used();
}

size_t longscanDeltaRuleForwardWorkspaceBytes(const LongscanDeltaRule* call) {
  return supported(*call) ? deltaForwardWorkspaceBytes(*call) : 0;
}

size_t longscanDeltaRuleSegmentsBytes(const LongscanDeltaRule* call) {
  return supported(*call) && deltaSummarizes() ? DeltaSegments(*call, nullptr).arena.used() : 0;
}

int longscanDeltaRulePrepare(const LongscanDeltaRule* call, void* kept, CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  DeltaChunks chunks = chunksOf(Kept(*call, kept));
  return prepare(*call, chunks, false, stream);
}

int longscanDeltaRuleSummarize(const LongscanDeltaRule* call, const LongscanDeltaRuleSummary* io,
                               CUstream_st* stream) {
  if (longscanDeltaRuleSegmentsBytes(call) == 0) return cudaErrorInvalidValue;
  return launchDeltaSummary(*call, *io, stream);
}

int longscanDeltaRuleForward(const LongscanDeltaRule* call, const LongscanDeltaRuleForward* io,
                             CUstream_st* stream) {
  if (!supported(*call) || (io->segments != nullptr && !io->prepared)) return cudaErrorInvalidValue;
  return forward(*call, *io, stream);
}

int longscanDeltaRuleBackward(const LongscanDeltaRule* call, const LongscanDeltaRuleBackward* io,
                              CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  DeltaDevice device;
  const cudaError_t error = deltaDevice(device);
  if (error != cudaSuccess) return error;
  return isDiagonal(*call) ? deltaDiagonalBackward(*call, *io, device, stream)
                           : backward(*call, *io, device, stream);
}
