#include "bind_cuda.h"

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments that both functions begin with: stream, x, halo, weight, resets, bias, silu, headSize, rstd.
struct Common {
  TensorRef x, halo, weight, bias;
  LongscanCausalConv call{};

  explicit Common(Args& args) {
    args.stream();
    x = args.tensor("x");
    halo = args.optionalTensor("halo");
    weight = args.tensor("weight");
    const TensorRef resets = args.optionalTensor("resets");
    bias = args.optionalTensor("bias");
    call.silu = args.flag("silu");
    const int64_t headSize = args.integer("headSize");
    const TensorRef rstd = args.optionalTensor("rstd");
    args.check(x.numDims == 3, "x is not [B, T, D]");
    const int64_t B = x.dim(0), T = x.dim(1), D = x.dim(2);
    args.check(weight.numDims == 2 && weight.dim(0) == D && weight.dim(1) >= 1, "weight is not [D, W]");
    const int64_t W = weight.dim(1);
    args.check(headSize >= 0 && (headSize == 0 || D % headSize == 0), "D is not a number of heads");
    args.check(bool(rstd) == (headSize > 0), "rstd goes with heads");
    if (rstd) checkF32(args, rstd, B * T * (D / headSize), "rstd");
    args.checkSize(halo, x, B * (W - 1) * D, "halo");
    args.checkSize(bias, weight, D, "bias");
    args.checkResets(resets, B, T);
    for (const TensorRef& tensor : {x, halo, weight, bias, resets}) checkAligned(args, tensor);
    call.B = B, call.T = T, call.D = D;
    call.W = static_cast<int32_t>(W < INT32_MAX ? W : INT32_MAX);
    call.type = elementArgument(args, x);
    call.weightType = elementArgument(args, weight);
    call.x = x.data, call.halo = halo.data, call.weight = weight.data, call.bias = bias.data;
    call.resets = resets.as<int32_t>(), call.rstd = rstd.as<float>();
    call.headSize = static_cast<int32_t>(headSize < INT32_MAX ? headSize : INT32_MAX);
    const size_t bytes = LONGSCAN_CUDA_FUNCTION(args, longscanCausalConvWorkspaceBytes)(&call);
    if (bytes == 0)
      throwNoKernel(args,
                    std::to_string(W) + " taps over " + std::to_string(T) + " tokens, heads of " +
                        std::to_string(headSize) + " scaled",
                    "1 to 256 taps, and at least one token; up to 8 taps beside heads of 4, 8, ... 256");
    call.workspace = args.workspace(bytes);
  }
};

Napi::Value bindForward(Args& args) {
  Common common(args);
  common.call.eps = static_cast<float>(args.number("eps"));
  void* y = typedArgument(args, "y", common.x, common.x.numElements);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanCausalConvForward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, y, stream); });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  LongscanCausalConvBackward io{};
  io.dy = typedArgument(args, "dy", common.x, common.x.numElements);
  io.dx = typedArgument(args, "dx", common.x, common.x.numElements);
  const TensorRef dHalo = args.optionalSizedTensor("dHalo", common.x, common.halo.numElements);
  io.dWeight = typedArgument(args, "dWeight", common.weight, common.weight.numElements);
  const TensorRef dBias = args.optionalSizedTensor("dBias", common.weight, common.bias.numElements);
  for (const TensorRef& tensor : {dHalo, dBias}) checkAligned(args, tensor);
  io.dHalo = dHalo.data, io.dBias = dBias.data;
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanCausalConvBackward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace

void registerCausalConvCuda(Registry& registry) {
  registry.add("causalConvCudaForward", 11, bindForward);
  registry.add("causalConvCudaBackward", 14, bindBackward);
}

}  // namespace longscan
