#include "bind_cuda.h"

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments after the stream that all functions begin with: complex, u, logLambda, w, resets.
struct Common {
  LongscanLtiScan call{};
  TensorRef u;
  int64_t numParameters;

  explicit Common(Args& args) {
    call.complex = args.flag("complex");
    u = args.tensor("u");
    const TensorRef logLambda = args.tensor("logLambda"), w = args.tensor("w");
    const TensorRef resets = args.optionalTensor("resets");
    args.check(u.numDims == 3 && logLambda.numDims == 3 && logLambda.dim(2) == 2,
               "u is not [B, T, C] or logLambda not [C, N, 2]");
    call.B = u.dim(0), call.T = u.dim(1), call.C = logLambda.dim(0);
    call.N = static_cast<int32_t>(logLambda.dim(1));
    args.check(u.dim(2) == (call.complex ? 2 * call.C : call.C), "u has not the channels of logLambda");
    numParameters = call.C * call.N * 2;
    checkF32(args, logLambda, numParameters, "logLambda");
    checkF32(args, w, numParameters, "w");
    args.checkResets(resets, call.B, call.T);
    checkAligned(args, u);
    checkAligned(args, resets);
    call.type = elementArgument(args, u);
    call.u = u.data;
    call.logLambda = logLambda.as<float>();
    call.w = w.as<float>();
    call.resets = resets.as<int32_t>();
  }

  int64_t stateSize() const { return call.B * numParameters; }
  int64_t keptSize(const Args& args) const {
    const size_t bytes = LONGSCAN_CUDA_FUNCTION(args, longscanLtiScanStatesBytes)(&call);
    if (bytes == 0)
      throwNoKernel(args, "N = " + std::to_string(call.N) + ", T = " + std::to_string(call.T),
                    "N up to 256, and at least one token");
    return static_cast<int64_t>(bytes / sizeof(float));
  }
  void takeWorkspace(Args& args) {
    keptSize(args);
    call.workspace = args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanLtiScanWorkspaceBytes)(&call));
  }
};

}  // namespace

Napi::Value bindLtiScanForwardOnGpu(Args& args) {
  Common common(args);
  LongscanLtiScanForward io{};
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  const TensorRef y = args.optionalSizedTensor("y", common.u, common.u.numElements);
  checkAligned(args, y);
  io.y = y.data;
  io.states = optionalF32Argument(args, "checkpoints", common.keptSize(args));
  io.ht = f32Argument(args, "state", common.stateSize());
  float* const factor = optionalF32Argument(args, "factor", common.stateSize());
  common.takeWorkspace(args);
  if (io.y == nullptr) {
    args.check(io.h0 == nullptr && factor != nullptr, "a summary has a factor and no incoming state");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanLtiScanSummarize);
    args.enqueueLaunch(
        [=, call = common.call](CUstream_st* stream) { return kernel(&call, io.ht, factor, stream); });
    return args.env().Undefined();
  }
  args.check(factor == nullptr && io.states != nullptr,
             "outputs come with checkpoints and without the factor");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanLtiScanForward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindLtiScanAdjointOnGpu(Args& args) {
  Common common(args);
  const void* dy = typedArgument(args, "dy", common.u, common.u.numElements);
  float* const adjoint = f32Argument(args, "adjoint", common.stateSize());
  common.takeWorkspace(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanLtiScanAdjoint);
  args.enqueueLaunch(
      [=, call = common.call](CUstream_st* stream) { return kernel(&call, dy, adjoint, stream); });
  return args.env().Undefined();
}

Napi::Value bindLtiScanBackwardOnGpu(Args& args) {
  Common common(args);
  LongscanLtiScanBackward io{};
  io.dy = typedArgument(args, "dy", common.u, common.u.numElements);
  io.states = f32Argument(args, "checkpoints", common.keptSize(args));
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.du = typedArgument(args, "du", common.u, common.u.numElements);
  io.dLogLambda = f32Argument(args, "dLogLambda", common.numParameters);
  io.dw = f32Argument(args, "dw", common.numParameters);
  io.dh0 = f32Argument(args, "dh0", common.stateSize());
  common.takeWorkspace(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanLtiScanBackward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace longscan
