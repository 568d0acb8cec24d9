#include "../../addon/gpu_args.h"
#include "../../cuda/types.h"
#include "arguments.h"
#include "bind_cuda.h"
#include "general/general.h"

namespace longscan {

namespace {

static_assert(static_cast<int>(DeltaGate::diagonal) == longscanDeltaDecayDiagonal &&
              static_cast<int>(DeltaGate::scalar) == longscanDeltaDecayScalar);
static_assert(static_cast<int>(DeltaErase::own) == longscanDeltaEraseOwn &&
              static_cast<int>(DeltaErase::dplr) == longscanDeltaEraseDplr);
static_assert(static_cast<int>(DeltaRead::value) == longscanDeltaReadValue);

/// The arguments that every function here begins with, and what they are to the kernels.
struct Common : DeltaArguments {
  LongscanDeltaGeneral call{};

  explicit Common(Args& args) : DeltaArguments(args) {
    args.check(n == 1, "tokens of several rows");
    const int64_t gates[] = {0, B * T * H, B * T * H * K};
    checkF32(args, beta, beta ? B * T * H : 0, "beta");
    checkF32(args, g, gates[static_cast<int>(gate)], "g");
    for (const TensorRef& tensor : {q, k, v, b, e, resets}) checkAligned(args, tensor);
    call.B = B, call.T = T;
    call.H = static_cast<int32_t>(H), call.K = static_cast<int32_t>(K), call.V = static_cast<int32_t>(V);
    call.type = isBf16(args, k) ? longscanElementBf16 : longscanElementF32;
    call.decay = static_cast<int32_t>(gate);
    call.erase = static_cast<int32_t>(erase);
    call.read = static_cast<int32_t>(read);
    call.scale = static_cast<float>(scale);
    call.q = q.data, call.k = k.data, call.v = v.data, call.b = b.data, call.e = e.data;
    call.beta = beta.as<float>();
    call.g = g.as<float>();
    call.resets = resets.as<int32_t>();
  }

  /// Throws E-CUDA-KERNEL where there is no kernel for these head sizes.
  size_t bytes(const Args& args, int which) const {
    const size_t bytes = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaGeneralBytes)(&call, which);
    if (bytes > 0) return bytes;
    throw Error("E-CUDA-KERNEL",
                std::string(args.function()) + ": no CUDA kernel for K = " + std::to_string(call.K) +
                    ", V = " + std::to_string(call.V) + ", T = " + std::to_string(call.T) +
                    ", only for K up to 256, V up to 512, and at least one token. Fix: choose such head "
                    "sizes, or the CPU (device.kind = \"cpu\")");
  }
  float* kept(Args& args) const {
    const size_t numbers = bytes(args, longscanDeltaGeneralKept) / sizeof(float);
    return f32Argument(args, "kept", static_cast<int64_t>(numbers));
  }
  void* workspace(Args& args, int which) const { return args.workspace(bytes(args, which)); }
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaGeneralForward);
  LongscanDeltaGeneralForward io{};
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  io.o = typedArgument(args, "o", common.k, common.outputSize());
  io.ht = optionalF32Argument(args, "ht", common.stateSize());
  io.kept = common.kept(args);
  io.workspace = common.workspace(args, longscanDeltaGeneralForwardWorkspace);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaGeneralBackward);
  LongscanDeltaGeneralBackward io{};
  io.dO = typedArgument(args, "dO", common.k, common.outputSize());
  io.kept = common.kept(args);
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.dq = typedArgument(args, "dq", common.q, common.q.numElements);
  io.dk = typedArgument(args, "dk", common.k, common.k.numElements);
  io.dv = typedArgument(args, "dv", common.v, common.v.numElements);
  io.dbeta = optionalF32Argument(args, "dbeta", common.beta.numElements);
  io.dg = optionalF32Argument(args, "dg", common.g.numElements);
  io.db = gradientArgument(args, "db", common.b);
  io.de = gradientArgument(args, "de", common.e);
  io.dh0 = optionalF32Argument(args, "dh0", common.stateSize());
  args.check(!common.g || io.dg != nullptr, "dg is missing");
  args.check(!common.beta || io.dbeta != nullptr, "dbeta is missing");
  io.workspace = common.workspace(args, longscanDeltaGeneralBackwardWorkspace);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindSummarize(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaGeneralSummarize);
  const LongscanDeltaGeneral& call = common.call;
  LongscanDeltaGeneralSummary io{};
  io.state = f32Argument(args, "state", common.stateSize());
  io.factor = f32Argument(args, "factor", call.B * call.H * call.K * call.K);
  io.reset = optionalF32Argument(args, "reset", call.B);
  io.workspace = common.workspace(args, longscanDeltaGeneralSummaryWorkspace);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindSummarizeBackward(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaGeneralSummarizeBackward);
  LongscanDeltaGeneralSummaryBackward io{};
  io.dO = typedArgument(args, "dO", common.k, common.outputSize());
  io.adjoint = f32Argument(args, "adjoint", common.stateSize());
  io.workspace = common.workspace(args, longscanDeltaGeneralSummaryBackwardWorkspace);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace

void registerDeltaGeneralCuda(Registry& registry) {
  registry.add("deltaGeneralCudaForward", 17, bindForward);
  registry.add("deltaGeneralCudaBackward", 25, bindBackward);
  registry.add("deltaGeneralCudaSummarize", 16, bindSummarize);
  registry.add("deltaGeneralCudaSummarizeBackward", 15, bindSummarizeBackward);
}

}  // namespace longscan
