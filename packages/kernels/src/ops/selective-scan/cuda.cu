#include "cuda.h"

#include "../vector-scan/cuda_segments.h"
#include "cuda_gradient.h"
#include "cuda_sweep.h"

namespace longscan {

namespace {

using Call = LongscanSelectiveScan;

int64_t channelBlocks(const Call& call) {
  return (call.D + blockChannels - 1) / blockChannels;
}

/// Blocks are of four warps: two of them on a multiprocessor hide more than one. A forward pass has to make
/// the decays once more if it is cut, so that it must be worth more.
enum class Cut { dear, cheap };

Segments segmentsOf(const Call& call, Cut cut) {
  constexpr int64_t wantedBlocks = 264;
  const int64_t blocks = call.B * channelBlocks(call);
  const int64_t enough = cut == Cut::dear ? wantedBlocks / 3 : 2 * wantedBlocks / 3;
  return Segments::about(call.T, blocks < enough ? wantedBlocks / blocks : 1, cutTokens);
}

bool supported(const Call& call) {
  return call.B > 0 && call.T > 0 && call.T < INT32_MAX && call.D > 0 && call.D % 2 == 0 &&
         call.D < (1 << 26) && (call.N == 8 || call.N == 16) &&
         (call.type == longscanElementBf16 || call.type == longscanElementF32) &&
         call.B * segmentsOf(call, Cut::cheap).count <= 65535;
}

/// The segments' effects and sums of delta, and the shares of the reverse sweep's blocks.
struct Workspace {
  WorkspaceParts parts;
  SegmentEffects segments;
  double* sumDelta;
  float *partsA, *partsB, *partsC;

  Workspace(const Call& call, const Segments& cut)
      : parts(call.workspace), segments(call.B, call.D * call.N, cut.count, parts) {
    const int64_t rows = call.B * segments.numSegments,
                  shares = channelBlocks(call) * call.B * call.N * call.T;
    sumDelta = parts.take<double>(rows * call.D);
    partsA = parts.take<float>(rows * call.D * call.N);
    partsB = parts.take<float>(shares);
    partsC = parts.take<float>(shares);
  }
};

SelectiveSweep sweepOf(const Segments& segments, SelectivePass pass, const void* dy) {
  SelectiveSweep sweep{};
  sweep.pass = pass;
  sweep.numSegments = segments.count;
  sweep.segmentTokens = segments.tokens;
  sweep.dy = dy;
  return sweep;
}

/// The segments' effects, folded in the order of the sweep: the states that enter them, and the outgoing one.
cudaError_t foldSegments(const Call& call, const Workspace& work, SelectiveSweep summary,
                         const float* incoming, float* outgoing, cudaStream_t stream) {
  work.segments.receive(summary);
  summary.sumDelta = work.sumDelta;
  const cudaError_t error = launchSelectiveSweep(call, summary, stream);
  if (error) return error;
  const bool backward = summary.pass == SelectivePass::adjoint;
  return launchCombine(work.segments.fold(backward, incoming, outgoing), stream);
}

/// One thread a channel: the sum of its segments' in f64, for its exponent may be that of a million tokens.
__global__ void sumDeltaKernel(const double* segments, int numSegments, int64_t B, int64_t D, float* sums) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= B * D) return;
  double sum = 0;
  for (int s = 0; s < numSegments; s++) sum += segments[(at / D * numSegments + s) * D + at % D];
  sums[at] = static_cast<float>(sum);
}

cudaError_t forward(const Call& call, const LongscanSelectiveScanForward& io, cudaStream_t stream) {
  const Segments segments = segmentsOf(call, Cut::dear);
  SelectiveSweep sweep = sweepOf(segments, SelectivePass::forward, nullptr);
  sweep.y = io.y;
  sweep.checkpoints = io.checkpoints;
  sweep.incoming = io.h0;
  sweep.outgoing = io.ht;
  if (sweep.numSegments > 1) {
    const Workspace work(call, segments);
    const SelectiveSweep summary = sweepOf(segments, SelectivePass::summary, nullptr);
    const cudaError_t error = foldSegments(call, work, summary, io.h0, io.ht, stream);
    if (error) return error;
    sweep.incoming = work.segments.entering;
    sweep.outgoing = nullptr;
  }
  return launchSelectiveSweep(call, sweep, stream);
}

cudaError_t backward(const Call& call, const LongscanSelectiveScanBackward& io, cudaStream_t stream) {
  const Segments segments = segmentsOf(call, Cut::cheap);
  const Workspace work(call, segments);
  SelectiveGradient gradient{io,     segments.count, segments.tokens, io.dht,
                             io.dh0, work.partsA,    work.partsB,     work.partsC};
  if (segments.count > 1) {
    const SelectiveSweep summary = sweepOf(segments, SelectivePass::adjoint, io.dy);
    const cudaError_t error = foldSegments(call, work, summary, io.dht, io.dh0, stream);
    if (error) return error;
    gradient.incoming = work.segments.entering;
    gradient.outgoing = nullptr;
  }
  return launchSelectiveGradient(call, gradient, stream);
}

/// What all segments together do to a state or an adjoint that is zero.
cudaError_t summarize(const Call& call, SelectivePass pass, const void* dy, float* state, float* sumDelta,
                      cudaStream_t stream) {
  const Segments segments = segmentsOf(call, Cut::cheap);
  const Workspace work(call, segments);
  SelectiveSweep summary = sweepOf(segments, pass, dy);
  cudaError_t error;
  if (summary.numSegments == 1) {
    summary.outgoing = state;
    summary.sumDelta = work.sumDelta;
    error = launchSelectiveSweep(call, summary, stream);
  } else {
    error = foldSegments(call, work, summary, nullptr, state, stream);
  }
  if (error || !sumDelta) return error;
  const auto blocks = static_cast<unsigned>((call.B * call.D + 255) / 256);
  sumDeltaKernel<<<blocks, 256, 0, stream>>>(work.sumDelta, summary.numSegments, call.B, call.D, sumDelta);
  return cudaGetLastError();
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanSelectiveScanWorkspaceBytes(const LongscanSelectiveScan* call) {
  if (!supported(*call)) return 0;
  LongscanSelectiveScan counted = *call;
  counted.workspace = nullptr;
  return Workspace(counted, segmentsOf(counted, Cut::cheap)).parts.used();
}

size_t longscanSelectiveScanBackwardSharedBytes(const LongscanSelectiveScan* call) {
  return gradientSharedBytes(*call);
}

int longscanSelectiveScanForward(const LongscanSelectiveScan* call, const LongscanSelectiveScanForward* io,
                                 CUstream_st* stream) {
  return supported(*call) ? forward(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanSelectiveScanBackward(const LongscanSelectiveScan* call, const LongscanSelectiveScanBackward* io,
                                  CUstream_st* stream) {
  return supported(*call) ? backward(*call, *io, stream) : cudaErrorInvalidValue;
}

int longscanSelectiveScanSummarize(const LongscanSelectiveScan* call, float* state, float* sumDelta,
                                   CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return summarize(*call, SelectivePass::summary, nullptr, state, sumDelta, stream);
}

int longscanSelectiveScanAdjoint(const LongscanSelectiveScan* call, const void* dy, float* adjoint,
                                 CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  return summarize(*call, SelectivePass::adjoint, dy, adjoint, nullptr, stream);
}
