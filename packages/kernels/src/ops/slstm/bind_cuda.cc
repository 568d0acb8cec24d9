#include "bind_cuda.h"

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments after the stream that both functions begin with: gates, recurrent, resets, h0.
struct Common {
  LongscanSlstm call{};
  TensorRef gates;
  int64_t numUnits, numWeights;  // of one number per token and unit; of `recurrent`

  explicit Common(Args& args) : gates(args.tensor("gates")) {
    args.check(gates.numDims == 5 && gates.dim(3) == 4, "gates is not [B, T, H, 4, N]");
    const int64_t H = gates.dim(2), N = gates.dim(4);
    call.B = gates.dim(0), call.T = gates.dim(1);
    call.H = static_cast<int32_t>(H), call.N = static_cast<int32_t>(N);
    numUnits = call.B * call.T * H * N;
    numWeights = H * N * 4 * N;
    call.type = elementArgument(args, gates);
    call.gates = gates.data;
    call.recurrent = f32Argument(args, "recurrent", numWeights);
    const TensorRef resets = args.optionalTensor("resets");
    args.checkResets(resets, call.B, call.T);
    call.resets = resets.as<int32_t>();
    call.h0 = optionalF32Argument(args, "h0", stateSize());
    checkAligned(args, gates);
    checkAligned(args, resets);
    if (LONGSCAN_CUDA_FUNCTION(args, longscanSlstmBackwardWorkspaceBytes)(&call) == 0)
      throwNoKernel(args, "N = " + std::to_string(N) + ", T = " + std::to_string(call.T),
                    "N up to 256, and at least one token");
  }

  int64_t stateSize() const { return call.B * call.H * 4 * call.N; }
};

}  // namespace

Napi::Value bindSlstmForwardOnGpu(Args& args) {
  const Common common(args);
  LongscanSlstmForward io{};
  io.h = typedArgument(args, "h", common.gates, common.numUnits);
  io.sums = f32Argument(args, "sums", 4 * common.numUnits);
  io.cells = f32Argument(args, "cells", 3 * common.numUnits);
  io.ht = f32Argument(args, "state", common.stateSize());
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSlstmForward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindSlstmBackwardOnGpu(Args& args) {
  const Common common(args);
  LongscanSlstmBackward io{};
  typedArgument(args, "h", common.gates, common.numUnits);
  io.sums = f32Argument(args, "sums", 4 * common.numUnits);
  io.cells = f32Argument(args, "cells", 3 * common.numUnits);
  io.dH = typedArgument(args, "dH", common.gates, common.numUnits);
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.dGates = typedArgument(args, "dGates", common.gates, 4 * common.numUnits);
  io.dRecurrent = f32Argument(args, "dRecurrent", common.call.B * common.numWeights);
  io.dh0 = optionalF32Argument(args, "dh0", common.stateSize());
  io.workspace =
      args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanSlstmBackwardWorkspaceBytes)(&common.call));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSlstmBackward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace longscan
