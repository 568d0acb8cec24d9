#include "bind_cuda.h"

#include "../../addon/gpu_head_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments after the stream that all functions begin with: scale, q, k, v, i, f, resets, h0.
struct Common : GpuHeadArgs<LongscanMlstm> {
  explicit Common(Args& args) {
    call.scale = static_cast<float>(args.number("scale"));
    takeHeads(args);
    call.logInput = f32Argument(args, "i", numTokens);
    call.logForget = f32Argument(args, "f", numTokens);
    takeState(args, stateSize());
  }

  int64_t stateSize() const { return call.B * call.H * (call.V + 1) * (call.K + 1); }
};

/// h, normalizer and m, which go together.
LongscanMlstmTokens tokensArgument(Args& args, const Common& common) {
  const TensorRef h = args.optionalSizedTensor("h", common.like, common.numValues);
  checkAligned(args, h);
  const LongscanMlstmTokens tokens{h.data, optionalF32Argument(args, "normalizer", common.numTokens),
                                   optionalF32Argument(args, "m", common.numTokens)};
  args.check(bool(tokens.h) == bool(tokens.normalizer) && bool(tokens.h) == bool(tokens.m),
             "h, normalizer and m go together");
  return tokens;
}

}  // namespace

Napi::Value bindMlstmForwardOnGpu(Args& args) {
  Common common(args);
  const LongscanMlstmTokens tokens = tokensArgument(args, common);
  args.check(!args.optionalTensor("checkpoints"), "a GPU keeps no checkpoints");
  float* const state = optionalF32Argument(args, "state", common.stateSize());
  float* const factor = optionalF32Argument(args, "factor", common.call.B * common.call.H);
  common.takeWorkspace(args, LONGSCAN_CUDA_FUNCTION(args, longscanMlstmWorkspaceBytes));
  if (tokens.h == nullptr) {
    args.check(state != nullptr && factor != nullptr && common.call.h0 == nullptr,
               "a summary is a state and a factor, from an empty state");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMlstmSummarize);
    args.enqueueLaunch(
        [=, call = common.call](CUstream_st* stream) { return kernel(&call, state, factor, stream); });
    return args.env().Undefined();
  }
  args.check(factor == nullptr, "the factor comes with the summary alone");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMlstmForward);
  args.enqueueLaunch(
      [=, call = common.call](CUstream_st* stream) { return kernel(&call, &tokens, state, stream); });
  return args.env().Undefined();
}

Napi::Value bindMlstmAdjointOnGpu(Args& args) {
  Common common(args);
  const LongscanMlstmTokens tokens = tokensArgument(args, common);
  args.check(tokens.h != nullptr, "h, normalizer and m are missing");
  const void* dH = typedArgument(args, "dH", common.like, common.numValues);
  float* const adjoint = f32Argument(args, "adjoint", common.stateSize());
  float* const factor = f32Argument(args, "factor", common.call.B * common.call.H);
  common.takeWorkspace(args, LONGSCAN_CUDA_FUNCTION(args, longscanMlstmBackwardWorkspaceBytes));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMlstmAdjoint);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) {
    return kernel(&call, &tokens, dH, adjoint, factor, stream);
  });
  return args.env().Undefined();
}

Napi::Value bindMlstmBackwardOnGpu(Args& args) {
  Common common(args);
  const LongscanMlstmTokens tokens = tokensArgument(args, common);
  args.check(tokens.h != nullptr, "h, normalizer and m are missing");
  args.check(!args.optionalTensor("checkpoints"), "a GPU keeps no checkpoints");
  LongscanMlstmGradients io{};
  io.dH = typedArgument(args, "dH", common.like, common.numValues);
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.dq = typedArgument(args, "dq", common.like, common.numKeys);
  io.dk = typedArgument(args, "dk", common.like, common.numKeys);
  io.dv = typedArgument(args, "dv", common.like, common.numValues);
  io.dInput = f32Argument(args, "di", common.numTokens);
  io.dForget = f32Argument(args, "df", common.numTokens);
  io.dh0 = optionalF32Argument(args, "dh0", common.stateSize());
  common.takeWorkspace(args, LONGSCAN_CUDA_FUNCTION(args, longscanMlstmBackwardWorkspaceBytes));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMlstmBackward);
  args.enqueueLaunch(
      [=, call = common.call](CUstream_st* stream) { return kernel(&call, &tokens, &io, stream); });
  return args.env().Undefined();
}

}  // namespace longscan
