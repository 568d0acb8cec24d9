#include "../../addon/gpu_args.h"
#include "arguments.h"
#include "bind_cuda.h"
#include "dplr/dplr.h"

namespace longscan {

namespace {

/// The arguments that every function here begins with, and what they are to the kernels.
struct Common : DeltaArguments {
  LongscanDplr call{};

  explicit Common(Args& args) : DeltaArguments(args) {
    const int64_t gates[] = {0, B * T * H, B * T * H * K};
    args.check(erase != DeltaErase::key && read == DeltaRead::key && n == 1 && isBf16(args, k),
               "these kernels take bf16, keys that erase of their own, reads by key and one row a token");
    args.check(scale != 0, "scale is 0");
    checkF32(args, beta, beta ? B * T * H : 0, "beta");
    checkF32(args, g, gates[static_cast<int>(gate)], "g");
    for (const TensorRef& tensor : {q, k, v, b, e, resets}) checkAligned(args, tensor);
    call.B = B, call.T = T;
    call.H = static_cast<int32_t>(H), call.K = static_cast<int32_t>(K), call.V = static_cast<int32_t>(V);
    call.hasGateOfChannels = gate == DeltaGate::diagonal;
    call.scale = static_cast<float>(scale);
    call.q = q.data, call.k = k.data, call.v = v.data, call.b = b.data, call.e = e.data;
    call.beta = beta.as<float>();
    call.g = g.as<float>();
    call.resets = resets.as<int32_t>();
  }

  void* kept(Args& args) const {
    const TensorRef kept = args.tensor("kept");
    const size_t bytes = LONGSCAN_CUDA_FUNCTION(args, longscanDplrKeptBytes)(&call);
    if (bytes == 0)
      throwNoKernel(args, "K = " + std::to_string(K) + ", V = " + std::to_string(V),
                    "K a multiple of 8 up to 128, V up to 256");
    args.check(kept.bytes() == bytes, [&] { return "kept is not of " + std::to_string(bytes) + " bytes"; });
    checkAligned(args, kept);
    return kept.data;
  }
};

Napi::Value bindTakes(Args& args) {
  const Common common(args);
  return Napi::Boolean::New(args.env(), LONGSCAN_CUDA_FUNCTION(args, longscanDplrTakes)(&common.call) != 0);
}

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDplrForward);
  LongscanDplrForward io{};
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  io.o = typedArgument(args, "o", common.k, common.outputSize());
  io.ht = optionalF32Argument(args, "ht", common.stateSize());
  io.kept = common.kept(args);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDplrBackward);
  LongscanDplrBackward io{};
  io.dO = typedArgument(args, "dO", common.k, common.outputSize());
  io.kept = common.kept(args);
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.dq = typedArgument(args, "dq", common.k, common.q.numElements);
  io.dk = typedArgument(args, "dk", common.k, common.k.numElements);
  io.dv = typedArgument(args, "dv", common.k, common.v.numElements);
  io.dbeta = static_cast<float*>(gradientArgument(args, "dbeta", common.beta));
  io.dg = static_cast<float*>(gradientArgument(args, "dg", common.g));
  io.db = gradientArgument(args, "db", common.b);
  io.de = gradientArgument(args, "de", common.e);
  io.dh0 = optionalF32Argument(args, "dh0", common.stateSize());
  io.workspace = args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanDplrWorkspaceBytes)(&common.call));
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace

void registerDplrCuda(Registry& registry) {
  registry.add("dplrCudaTakes", 13, bindTakes);
  registry.add("dplrCudaForward", 17, bindForward);
  registry.add("dplrCudaBackward", 24, bindBackward);
}

}  // namespace longscan
