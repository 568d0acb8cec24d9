#include "bind_cuda.h"

#include "../../addon/gpu_head_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments after the stream that all functions begin with: q, k, v, beta, g, lambda, resets, h0.
struct Common : GpuHeadArgs<LongscanMesa> {
  explicit Common(Args& args) {
    takeHeads(args);
    call.beta = f32Argument(args, "beta", numTokens);
    call.g = f32Argument(args, "g", numTokens);
    call.lambda = f32Argument(args, "lambda", int64_t{call.H} * call.K);
    takeState(args, stateSize());
  }

  int64_t stateSize() const { return call.B * call.H * (call.K + call.V) * call.K; }
  /// Of solutions, whose rows are padded.
  int64_t numSolutions() const { return numTokens * ((call.K + 7) / 8 * 8); }
};

}  // namespace

Napi::Value bindMesaForwardOnGpu(Args& args) {
  Common common(args);
  const TensorRef o = args.optionalSizedTensor("o", common.like, common.numValues);
  checkAligned(args, o);
  float* const x = optionalF32Argument(args, "x", common.numSolutions());
  float* const state = optionalF32Argument(args, "state", common.stateSize());
  float* const factor = optionalF32Argument(args, "factor", common.call.B * common.call.H);
  args.check(bool(o) == bool(x), "o and x go together");
  common.takeWorkspace(args, LONGSCAN_CUDA_FUNCTION(args, longscanMesaWorkspaceBytes));
  if (x == nullptr) {
    args.check(state != nullptr && factor != nullptr && common.call.h0 == nullptr,
               "a summary is a state and a factor, from zero");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMesaSummarize);
    args.enqueueLaunch(
        [=, call = common.call](CUstream_st* stream) { return kernel(&call, state, factor, stream); });
    return args.env().Undefined();
  }
  args.check(factor == nullptr, "the factor comes with the summary alone");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMesaForward);
  args.enqueueLaunch([=, call = common.call, o = o.data](CUstream_st* stream) {
    return kernel(&call, o, x, state, stream);
  });
  return args.env().Undefined();
}

Napi::Value bindMesaQueryGradOnGpu(Args& args) {
  Common common(args);
  LongscanMesaQueryGradient io{};
  io.x = f32Argument(args, "x", common.numSolutions());
  io.dO = typedArgument(args, "dO", common.like, common.numValues);
  io.dq = typedArgument(args, "dq", common.like, common.numKeys);
  io.dLambda = f32Argument(args, "dLambda", common.call.B * common.call.H * common.call.K);
  io.u = f32Argument(args, "kept", common.numSolutions());
  io.adjoint = optionalF32Argument(args, "adjoint", common.stateSize());
  common.takeWorkspace(args, LONGSCAN_CUDA_FUNCTION(args, longscanMesaBackwardWorkspaceBytes));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMesaQueryGradient);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindMesaKeyValueGradOnGpu(Args& args) {
  Common common(args);
  LongscanMesaKeyValueGradient io{};
  io.x = f32Argument(args, "x", common.numSolutions());
  io.dO = typedArgument(args, "dO", common.like, common.numValues);
  typedArgument(args, "dq", common.like, common.numKeys);
  io.u = f32Argument(args, "kept", common.numSolutions());
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.dk = typedArgument(args, "dk", common.like, common.numKeys);
  io.dv = typedArgument(args, "dv", common.like, common.numValues);
  io.dBeta = f32Argument(args, "dBeta", common.numTokens);
  io.dg = f32Argument(args, "dg", common.numTokens);
  io.dh0 = optionalF32Argument(args, "dh0", common.stateSize());
  common.takeWorkspace(args, LONGSCAN_CUDA_FUNCTION(args, longscanMesaBackwardWorkspaceBytes));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanMesaKeyValueGradient);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace longscan
