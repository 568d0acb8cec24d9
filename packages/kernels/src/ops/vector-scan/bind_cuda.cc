#include "bind_cuda.h"

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments after the stream that both functions begin with; `values` are x, or dh.
struct Common {
  TensorRef g, resets, values;
  LongscanVectorScan call{};

  explicit Common(Args& args, const char* name)
      : g(args.tensor("g")), resets(args.optionalTensor("resets")), values(args.tensor(name)) {
    args.check(g.numDims == 3, "g has not 3 dims");
    call.B = g.dim(0), call.T = g.dim(1), call.C = g.dim(2);
    args.checkResets(resets, call.B, call.T);
    args.check(values.numElements == g.numElements,
               [&] { return std::string(name) + " and g differ in size"; });
    call.type = elementArgument(args, values);
    call.gateType = elementArgument(args, g);
    for (const TensorRef& tensor : {g, resets, values}) checkAligned(args, tensor);
    call.g = g.data;
    call.resets = resets.as<int32_t>();
  }

  int64_t stateSize() const { return call.B * call.C; }
  /// Of `like`'s type and size; null where the argument is.
  static void* sized(Args& args, const char* name, const TensorRef& like) {
    const TensorRef tensor = args.optionalSizedTensor(name, like, like.numElements);
    checkAligned(args, tensor);
    return tensor.data;
  }
  void takeWorkspace(Args& args) {
    const size_t bytes = LONGSCAN_CUDA_FUNCTION(args, longscanVectorScanWorkspaceBytes)(&call);
    if (bytes == 0)
      throwNoKernel(
          args, std::string("data of ") + dtypeName(values.dtype) + " with gates of " + dtypeName(g.dtype),
          "gates of f32 or the data's type, and at least one token and channel");
    call.workspace = args.workspace(bytes);
  }
};

}  // namespace

Napi::Value bindVectorScanForwardOnGpu(Args& args) {
  Common common(args, "x");
  const void* x = common.values.data;
  LongscanVectorScanForward io{};
  io.x = x;
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  io.h = Common::sized(args, "h", common.values);
  io.ht = f32Argument(args, "state", common.stateSize());
  float* const factor = optionalF32Argument(args, "factor", common.stateSize());
  common.takeWorkspace(args);
  if (io.h == nullptr) {
    args.check(io.h0 == nullptr, "a summary has no incoming state");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanVectorScanSummarize);
    args.enqueueLaunch(
        [=, call = common.call](CUstream_st* stream) { return kernel(&call, x, io.ht, factor, stream); });
    return args.env().Undefined();
  }
  args.check(factor == nullptr, "the factor comes with the summary alone");
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanVectorScanForward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindVectorScanBackwardOnGpu(Args& args) {
  Common common(args, "dh");
  LongscanVectorScanBackward io{};
  io.dh = common.values.data;
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.h = Common::sized(args, "h", common.values);
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  io.dx = Common::sized(args, "dx", common.values);
  io.dg = Common::sized(args, "dg", common.g);
  io.dh0 = f32Argument(args, "dh0", common.stateSize());
  args.check(bool(io.h) == bool(io.dx) && bool(io.h) == bool(io.dg), "h, dx and dg go together");
  common.takeWorkspace(args);
  if (io.h == nullptr) {
    args.check(io.dht == nullptr, "the adjoint of a slice alone has no outgoing one");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanVectorScanAdjoint);
    args.enqueueLaunch(
        [=, call = common.call](CUstream_st* stream) { return kernel(&call, io.dh, io.dh0, stream); });
    return args.env().Undefined();
  }
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanVectorScanBackward);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace longscan
