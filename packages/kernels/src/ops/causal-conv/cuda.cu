#include "cuda.h"

#include "cuda/pack.cuh"
#include "cuda/workspace_parts.h"
#include "cuda_long.h"
#include "cuda_short.h"

namespace longscan {

namespace {

using Bf16 = __nv_bfloat16;

bool isLong(const LongscanCausalConv& call) {
  return call.W > causalConvShortTaps;
}

bool supported(const LongscanCausalConv& call) {
  const auto isType = [](int32_t type) { return type == longscanElementBf16 || type == longscanElementF32; };
  return call.B > 0 && call.T > 0 && call.T < INT32_MAX && call.D > 0 && call.W >= 1 &&
         call.W <= causalConvMostTaps && isType(call.type) && isType(call.weightType) &&
         (call.headSize == 0 || (!isLong(call) && call.D % call.headSize == 0 && convNorms(call)));
}

/// Of up to eight taps.
struct ShortWorkspace {
  WorkspaceParts parts;
  ConvShares shares;

  explicit ShortWorkspace(const LongscanCausalConv& call)
      : parts(call.workspace),
        shares{parts.take<float>(shortConvRuns(call) * call.W * call.D),
               parts.take<float>(shortConvRuns(call) * call.D), shortConvRuns(call)} {}
};

/// Weights as threads read them: in f32, the channels of a tap side by side. One thread a number.
template <typename Weight>
__global__ void spreadKernel(const Weight* weight, const Weight* bias, int W, int64_t D, float* taps) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= (W + 1) * D) return;
  const int64_t tap = at / D, channel = at % D;
  taps[at] = tap < W ? toFloat(weight[channel * W + tap]) : bias ? toFloat(bias[channel]) : 0.0f;
}

template <typename Weight>
cudaError_t spread(const LongscanCausalConv& call, float* taps, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(((call.W + 1) * call.D + 255) / 256);
  spreadKernel<<<blocks, 256, 0, stream>>>(static_cast<const Weight*>(call.weight),
                                           static_cast<const Weight*>(call.bias), call.W, call.D, taps);
  return cudaGetLastError();
}

cudaError_t spreadWeights(const LongscanCausalConv& call, float* taps, cudaStream_t stream) {
  return call.weightType == longscanElementBf16 ? spread<Bf16>(call, taps, stream)
                                                : spread<float>(call, taps, stream);
}

}  // namespace

}  // namespace longscan

using namespace longscan;

size_t longscanCausalConvWorkspaceBytes(const LongscanCausalConv* call) {
  if (!supported(*call)) return 0;
  LongscanCausalConv counted = *call;
  counted.workspace = nullptr;
  return isLong(counted) ? LongConvWorkspace(counted).parts.used() : ShortWorkspace(counted).parts.used();
}

int longscanCausalConvForward(const LongscanCausalConv* call, void* y, CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  if (!isLong(*call)) return launchShortConv(*call, y, stream);
  const LongConvWorkspace work(*call);
  const cudaError_t error = spreadWeights(*call, work.taps, stream);
  return error ? error : launchLongConv(*call, work, y, stream);
}

int longscanCausalConvBackward(const LongscanCausalConv* call, const LongscanCausalConvBackward* io,
                               CUstream_st* stream) {
  if (!supported(*call)) return cudaErrorInvalidValue;
  if (!isLong(*call)) {
    const ConvShares shares = ShortWorkspace(*call).shares;
    const cudaError_t error = launchShortConvGradient(*call, *io, shares, stream);
    return error ? error : sumCausalConvShares(*call, *io, shares, stream);
  }
  const LongConvWorkspace work(*call);
  cudaError_t error = spreadWeights(*call, work.taps, stream);
  if (!error) error = launchLongConvGradient(*call, work, *io, stream);
  return error ? error : sumCausalConvShares(*call, *io, work.shares, stream);
}
