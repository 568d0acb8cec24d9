#include "bind_cuda.h"

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments that every function here begins with, and what they are to the kernels. Queries, keys and
/// values that are joined, [B, T, 2 + V / K, H, K], are given as that tensor, three times, and so are their
/// gradients.
struct Common {
  TensorRef q, k, v, g, bonus, resets, decayed;
  int64_t decaying;  // channels of the axis on which the decay acts
  LongscanGatedLinear call{};

  explicit Common(Args& args) {
    args.stream();
    call.decay = static_cast<int32_t>(args.integer("decay"));
    call.decayOnValues = args.flag("decayOnValues");
    call.scale = static_cast<float>(args.number("scale"));
    q = args.tensor("q");
    k = args.tensor("k");
    v = args.tensor("v");
    g = args.optionalTensor("g");
    bonus = args.optionalTensor("bonus");
    resets = args.optionalTensor("resets");
    decayed = args.optionalTensor("decayed");
    call.joined = q.numDims == 5;
    if (call.joined) {
      args.check(q.data == k.data && q.data == v.data && v.numDims == 5 && v.dim(2) > 2,
                 "q, k and v are not one tensor [B, T, 2 + V / K, H, K]");
    } else {
      args.check(q.numDims == 4 && v.numDims == 4, "q and v have 4 dims");
    }
    const int64_t B = v.dim(0), T = v.dim(1), H = v.dim(-2), G = q.dim(-2), K = q.dim(-1);
    const int64_t V = call.joined ? (v.dim(2) - 2) * K : v.dim(-1);
    args.check(q.dim(0) == B && q.dim(1) == T && G >= 1 && H % G == 0, "q and v do not fit");
    args.checkSameType(q, v);
    args.checkSize(k, q, q.numElements, "k");
    args.check(H < limit && K < limit && V < limit, "sizes are too large");
    args.check(call.decay >= longscanDecayIdentity && call.decay <= longscanDecayDiagonal, "unknown decay");
    args.check(call.scale != 0, "scale is 0");
    args.check(!call.decayOnValues || (G == H && !bonus), "a decay on values has no groups and no bonus");
    decaying = call.decayOnValues ? V : K;
    const int64_t gates[] = {0, H, B * T * H, B * T * H * decaying};
    checkF32(args, g, gates[call.decay], "g");
    checkF32(args, bonus, bonus ? H * K : 0, "bonus");
    args.checkResets(resets, B, T);
    for (const TensorRef& tensor : {q, k, v, g, bonus, resets, decayed}) checkAligned(args, tensor);
    call.B = B, call.T = T;
    call.H = static_cast<int32_t>(H), call.G = static_cast<int32_t>(G);
    call.K = static_cast<int32_t>(K), call.V = static_cast<int32_t>(V);
    call.type = isBf16(args, q) ? longscanBf16 : longscanF32;
    call.q = part(q.data, 0), call.k = part(k.data, 1), call.v = part(v.data, 2);
    call.g = g.as<float>();
    call.bonus = bonus.as<float>();
    call.resets = resets.as<int32_t>();
    if (!decayed) return;
    const size_t bytes = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearDecayedBytes)(&call);
    args.check(decayed.bytes() == bytes,
               [&] { return "decayed is not of " + std::to_string(bytes) + " bytes"; });
    call.decayed = decayed.data;
  }

  int64_t stateSize() const { return call.B * call.H * call.K * call.V; }
  int64_t outputSize() const { return call.B * call.T * call.H * call.V; }
  int64_t factorSize() const {
    return call.B * call.H * (call.decay == longscanDecayDiagonal ? decaying : 1);
  }

  /// Bytes by one of the functions that count them. Throws E-CUDA-KERNEL where that says that there is no
  /// kernel.
  using Count = size_t(const LongscanGatedLinear*);
  size_t bytes(const Args& args, Count* count) const {
    const size_t bytes = count(&call);
    if (bytes > 0) return bytes;
    throw Error("E-CUDA-KERNEL",
                std::string(args.function()) + ": no CUDA kernel for K = " + std::to_string(call.K) +
                    ", V = " + std::to_string(call.V) + ", T = " + std::to_string(call.T) +
                    ", only for K a multiple of 8 up to 256, V a multiple of 8 up to 512 (a decay on "
                    "values: the other way round), and at least one token. Fix: choose such head sizes, or "
                    "the CPU (device.kind "
                    "= \"cpu\")");
  }
  float* states(Args& args) const {
    Count* count = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearStatesBytes);
    return f32Argument(args, "states", static_cast<int64_t>(bytes(args, count) / sizeof(float)));
  }
  /// The gradient of q (0), k (1) or v (2), each head's share of it, of so many channels.
  void* gradient(Args& args, const char* name, int which, int64_t channels) const {
    const int64_t size = call.joined ? q.numElements : call.B * call.T * call.H * channels;
    return part(typedArgument(args, name, q, size), which);
  }

 private:
  static constexpr int64_t limit = 1 << 24;

  /// Where q (0), k (1) or v (2) begins in the tensor that was given for it.
  void* part(void* given, int which) const {
    if (!call.joined) return given;
    return static_cast<char*>(given) + which * int64_t{call.H} * call.K * dtypeBytes(q.dtype);
  }
};

Napi::Value bindBytes(Args& args) {
  const Common common(args);
  const int64_t which = args.integer("which");
  args.check(which >= 0 && which <= 3, "which is not 0, 1, 2 or 3");
  Common::Count* const counts[] = {
      LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearStatesBytes),
      LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearWorkspaceBytes),
      LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearBackwardWorkspaceBytes),
      LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearDecayedBytes),
  };
  const size_t bytes = which == 3 ? counts[which](&common.call) : common.bytes(args, counts[which]);
  return Napi::Number::New(args.env(), static_cast<double>(bytes));
}

Napi::Value bindForward(Args& args) {
  const Common common(args);
  Common::Count* count = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearWorkspaceBytes);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearForward);
  const WorkspaceArgument workspace(args, common.bytes(args, count));
  LongscanGatedLinearForward io{};
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  io.o = typedArgument(args, "o", common.q, common.outputSize());
  io.ht = optionalF32Argument(args, "ht", common.stateSize());
  io.states = common.states(args);
  io.workspace = workspace.data;
  io.prepared = workspace.isKept;
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const LongscanGatedLinear& call = common.call;
  Common::Count* count = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearBackwardWorkspaceBytes);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearBackward);
  const WorkspaceArgument workspace(args, common.bytes(args, count));
  LongscanGatedLinearBackward io{};
  io.dO = typedArgument(args, "dO", common.q, common.outputSize());
  io.states = common.states(args);
  io.fromZero = args.flag("fromZero");
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.dq = common.gradient(args, "dq", 0, call.K);
  io.dk = common.gradient(args, "dk", 1, call.K);
  io.dv = common.gradient(args, "dv", 2, call.V);
  io.dg = optionalF32Argument(args, "dg", common.g.numElements);
  io.dbonus = optionalF32Argument(args, "dbonus", call.B * call.H * call.K);
  io.dh0 = optionalF32Argument(args, "dh0", common.stateSize());
  args.check(call.decay < longscanDecayScalar || io.dg != nullptr, "dg is missing");
  args.check(call.bonus == nullptr || io.dbonus != nullptr, "dbonus is missing");
  io.workspace = workspace.data;
  io.prepared = workspace.isKept;
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindSummarize(Args& args) {
  const Common common(args);
  Common::Count* count = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearWorkspaceBytes);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearSummarize);
  LongscanGatedLinearSummary io{};
  io.workspace = WorkspaceArgument(args, common.bytes(args, count)).data;
  io.state = f32Argument(args, "state", common.stateSize());
  io.factor = optionalF32Argument(args, "factor", common.factorSize());
  io.reset = optionalF32Argument(args, "reset", common.call.B);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindSummarizeBackward(Args& args) {
  const Common common(args);
  Common::Count* count = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearBackwardWorkspaceBytes);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanGatedLinearSummarizeBackward);
  LongscanGatedLinearSummaryBackward io{};
  io.workspace = WorkspaceArgument(args, common.bytes(args, count)).data;
  io.dO = typedArgument(args, "dO", common.q, common.outputSize());
  io.adjoint = f32Argument(args, "adjoint", common.stateSize());
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace

void registerGatedLinearCuda(Registry& registry) {
  registry.add("gatedLinearCudaBytes", 12, bindBytes);
  registry.add("gatedLinearCudaForward", 16, bindForward);
  registry.add("gatedLinearCudaBackward", 22, bindBackward);
  registry.add("gatedLinearCudaSummarize", 15, bindSummarize);
  registry.add("gatedLinearCudaSummarizeBackward", 14, bindSummarizeBackward);
}

}  // namespace longscan
