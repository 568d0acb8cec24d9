#include "bind_cuda.h"

#include "../../addon/gpu_args.h"
#include "../../addon/head_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments after the stream that all functions begin with: scale, q, k, v, i, f, resets, h0.
struct Common {
  LongscanMlstm call{};
  TensorRef like;
  int64_t numTokens, numKeys, numValues;

  explicit Common(Args& args) {
    call.scale = static_cast<float>(args.number("scale"));
    const HeadArgs heads(args);
    like = heads.q;
    numTokens = heads.numTokens(), numKeys = heads.numKeys(), numValues = heads.numValues();
    call.B = heads.B, call.T = heads.T;
    call.H = static_cast<int32_t>(heads.H), call.K = static_cast<int32_t>(heads.K);
    call.V = static_cast<int32_t>(heads.V);
    call.type = elementArgument(args, heads.q);
    call.q = heads.q.data, call.k = heads.k.data, call.v = heads.v.data;
    call.logInput = f32Argument(args, "i", numTokens);
    call.logForget = f32Argument(args, "f", numTokens);
    const TensorRef resets = args.optionalTensor("resets");
    args.checkResets(resets, heads.B, heads.T);
    call.resets = resets.as<int32_t>();
    call.h0 = optionalF32Argument(args, "h0", stateSize());
    for (const TensorRef& tensor : {heads.q, heads.k, heads.v, resets}) checkAligned(args, tensor);
  }

  int64_t stateSize() const { return call.B * call.H * (call.V + 1) * (call.K + 1); }
  void takeWorkspace(Args& args, size_t (*count)(const LongscanMlstm*)) {
    const size_t bytes = count(&call);
    if (bytes == 0)
      throwNoKernel(args,
                    "K = " + std::to_string(call.K) + ", V = " + std::to_string(call.V) +
                        ", T = " + std::to_string(call.T),
                    "K and V up to 256, and at least one token");
    call.workspace = args.workspace(bytes);
  }
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
