#include "cuda.h"

#include "cuda_segments.h"
#include "cuda_sweep.h"

namespace longscan {

namespace {

using Call = LongscanVectorScan;

Segments segmentsOf(const Call& call) {
  return Segments(call.T, call.B * ((call.C + scanChannels - 1) / scanChannels), scanStepTokens);
}

bool supported(const Call& call) {
  const auto isType = [](int32_t type) { return type == longscanElementBf16 || type == longscanElementF32; };
  return call.B > 0 && call.T > 0 && call.T < INT32_MAX && call.C > 0 && call.C < INT32_MAX &&
         isType(call.type) && (call.gateType == longscanElementF32 || call.gateType == call.type) &&
         call.B * segmentsOf(call).count <= 65535;
}

struct Workspace {
  WorkspaceParts parts;
  SegmentEffects segments;
  double* logFactor;  // [B, segments, C]

  explicit Workspace(const Call& call)
      : parts(call.workspace),
        segments(call.B, call.C, segmentsOf(call).count, parts),
        logFactor(parts.take<double>(call.B * segments.numSegments * call.C)) {}
};

constexpr int factorThreads = 128;

/// A thread for a channel of a batch row: factor = exp(sum of its segments' logs). A product of their f32
/// factors would add up as many roundings, all the same ones where the decay is the same.
__global__ void sliceFactorKernel(const double* logFactor, int64_t rows, int64_t channels, int numSegments,
                                  float* factor) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * factorThreads + threadIdx.x;
  if (at >= rows * channels) return;
  const double* const first = logFactor + at / channels * numSegments * channels + at % channels;
  double sum = 0;
  for (int segment = 0; segment < numSegments; segment++) sum += first[segment * channels];
  factor[at] = static_cast<float>(exp(sum));
}

ScanSweep sweepOf(const Call& call, ScanPass pass, const void* values) {
  const Segments segments = segmentsOf(call);
  ScanSweep sweep{};
  sweep.pass = pass;
  sweep.values = values;
  sweep.numSegments = segments.count;
  sweep.segmentTokens = segments.tokens;
  return sweep;
}

/// The segments' effects, folded in the order of the sweep: the states that enter them, and the outgoing one.
cudaError_t foldSegments(const Call& call, ScanSweep summary, const float* incoming, float* outgoing,
                         cudaStream_t stream) {
  const SegmentEffects segments = Workspace(call).segments;
  segments.receive(summary);
  const cudaError_t error = launchScanSweep(call, summary, stream);
  if (error) return error;
  return launchCombine(segments.fold(summary.pass == ScanPass::adjoint, incoming, outgoing), stream);
}

/// A sweep with outputs, from `incoming`.
cudaError_t run(const Call& call, ScanSweep sweep, const float* incoming, float* outgoing,
                cudaStream_t stream) {
  sweep.incoming = incoming;
  sweep.outgoing = outgoing;
  if (sweep.numSegments == 1) return launchScanSweep(call, sweep, stream);
  const ScanPass pass = sweep.pass == ScanPass::forward ? ScanPass::summary : ScanPass::adjoint;
  const cudaError_t error = foldSegments(call, sweepOf(call, pass, sweep.values), incoming, outgoing, stream);
  if (error) return error;
  sweep.incoming = Workspace(call).segments.entering;
  sweep.outgoing = nullptr;
  return launchScanSweep(call, sweep, stream);
}

cudaError_t summarize(const Call& call, ScanSweep summary, float* state, float* factor, cudaStream_t stream) {
  if (summary.numSegments == 1) {
    summary.outgoing = state;
    summary.factor = factor;
    return launchScanSweep(call, summary, stream);
  }
  double* const logs = Workspace(call).logFactor;
  if (factor) summary.logFactor = logs;
  const cudaError_t error = foldSegments(call, summary, nullptr, state, stream);
  if (error || !factor) return error;
  const auto blocks = static_cast<unsigned>((call.B * call.C + factorThreads - 1) / factorThreads);
  sliceFactorKernel<<<blocks, factorThreads, 0, stream>>>(logs, call.B, call.C, summary.numSegments, factor);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanVectorScanWorkspaceBytes(const LongscanVectorScan* call) {
  if (!supported(*call)) return 0;
  LongscanVectorScan counted = *call;
  counted.workspace = nullptr;
  return Workspace(counted).parts.used();
}

int longscanVectorScanForward(const LongscanVectorScan* call, const LongscanVectorScanForward* io,
                              CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  ScanSweep sweep = sweepOf(*call, ScanPass::forward, io->x);
  sweep.out = io->h;
  return run(*call, sweep, io->h0, io->ht, stream);
}

int longscanVectorScanBackward(const LongscanVectorScan* call, const LongscanVectorScanBackward* io,
                               CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  ScanSweep sweep = sweepOf(*call, ScanPass::backward, io->dh);
  sweep.h = io->h;
  sweep.h0 = io->h0;
  sweep.out = io->dx;
  sweep.dg = io->dg;
  return run(*call, sweep, io->dht, io->dh0, stream);
}

int longscanVectorScanSummarize(const LongscanVectorScan* call, const void* x, float* state, float* factor,
                                CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return summarize(*call, sweepOf(*call, ScanPass::summary, x), state, factor, stream);
}

int longscanVectorScanAdjoint(const LongscanVectorScan* call, const void* dh, float* adjoint,
                              CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return summarize(*call, sweepOf(*call, ScanPass::adjoint, dh), adjoint, nullptr, stream);
}
