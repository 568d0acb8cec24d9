#include "bind_cuda.h"

#include "../../addon/gpu_shared_memory.h"
#include "cuda.h"
#include "scan_args.h"

namespace longscan {

namespace {

struct Common : SelectiveScanArgs {
  LongscanSelectiveScan call{};

  explicit Common(Args& args) : SelectiveScanArgs(args) {
    for (const TensorRef& tensor : {x, delta, inB, outC, resets}) checkAligned(args, tensor);
    call.B = B, call.T = T, call.D = D;
    call.N = static_cast<int32_t>(N);
    call.type = elementArgument(args, x);
    call.x = x.data, call.delta = delta.data, call.inB = inB.data, call.outC = outC.data;
    call.A = A.as<float>();
    call.resets = resets.as<int32_t>();
    const size_t bytes = LONGSCAN_CUDA_FUNCTION(args, longscanSelectiveScanWorkspaceBytes)(&call);
    if (bytes == 0)
      throwNoKernel(args,
                    "D = " + std::to_string(D) + ", N = " + std::to_string(N) + ", T = " + std::to_string(T),
                    "an even D, N 8 or 16, and at least one token");
    call.workspace = args.workspace(bytes);
  }
};

}  // namespace

Napi::Value bindSelectiveScanForwardOnGpu(Args& args) {
  const Common common(args);
  LongscanSelectiveScanForward io{};
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  const TensorRef y = args.optionalSizedTensor("y", common.x, common.x.numElements);
  io.y = y.data;
  io.checkpoints = optionalF32Argument(args, "checkpoints", common.checkpointSize());
  io.ht = f32Argument(args, "state", common.stateSize());
  float* const sumDelta = optionalF32Argument(args, "sumDelta", common.B * common.D);
  checkAligned(args, y);
  args.check(bool(y) == (io.checkpoints != nullptr), "y and checkpoints go together");
  if (!y) {
    args.check(io.h0 == nullptr, "a summary has no incoming state");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSelectiveScanSummarize);
    args.enqueueLaunch(
        [=, call = common.call](CUstream_st* stream) { return kernel(&call, io.ht, sumDelta, stream); });
    return args.env().Undefined();
  }
  args.check(sumDelta == nullptr, "the sum of delta comes with the summary alone");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSelectiveScanForward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindSelectiveScanAdjointOnGpu(Args& args) {
  const Common common(args);
  const void* dy = typedArgument(args, "dy", common.x, common.x.numElements);
  float* adjoint = f32Argument(args, "adjoint", common.stateSize());
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSelectiveScanAdjoint);
  args.enqueueLaunch(
      [=, call = common.call](CUstream_st* stream) { return kernel(&call, dy, adjoint, stream); });
  return args.env().Undefined();
}

Napi::Value bindSelectiveScanBackwardOnGpu(Args& args) {
  const Common common(args);
  const auto sharedBytes = LONGSCAN_CUDA_FUNCTION(args, longscanSelectiveScanBackwardSharedBytes);
  requireSharedBytes(args, sharedBytes(&common.call), "N = " + std::to_string(common.N));
  const TensorRef& x = common.x;
  LongscanSelectiveScanBackward io{};
  io.dy = typedArgument(args, "dy", x, x.numElements);
  io.checkpoints = f32Argument(args, "checkpoints", common.checkpointSize());
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.dx = typedArgument(args, "dx", x, x.numElements);
  io.dDelta = typedArgument(args, "dDelta", x, x.numElements);
  io.dA = f32Argument(args, "dA", common.A.numElements);
  io.dB = typedArgument(args, "dB", x, common.inB.numElements);
  io.dC = typedArgument(args, "dC", x, common.outC.numElements);
  io.dh0 = f32Argument(args, "dh0", common.stateSize());
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSelectiveScanBackward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace longscan
