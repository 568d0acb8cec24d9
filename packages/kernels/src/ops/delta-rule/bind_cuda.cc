#include "bind_cuda.h"

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// The arguments that every function here begins with, and what they are to the kernels.
struct Common {
  TensorRef q, k, v, beta, g, b, resets;
  LongscanDeltaRule call{};

  explicit Common(Args& args) {
    args.stream();
    call.gate = static_cast<int32_t>(args.integer("gate"));
    call.scale = static_cast<float>(args.number("scale"));
    q = args.tensor("q", DType::bf16);
    k = args.tensor("k", DType::bf16);
    v = args.tensor("v", DType::bf16);
    beta = args.optionalTensor("beta");
    g = args.optionalTensor("g");
    b = args.optionalTensor("b");
    resets = args.optionalTensor("resets");
    args.check(q.numDims == 4 && v.numDims == 4, "q and v have 4 dims");
    const int64_t B = v.dim(0), T = v.dim(1), H = v.dim(2), V = v.dim(3), K = q.dim(3);
    args.check(q.numElements == B * T * H * K && k.numElements == q.numElements, "q, k and v do not fit");
    args.check(H < limit && K < limit && V < limit, "sizes are too large");
    const bool diagonal = call.gate == longscanDeltaGateDiagonal;
    args.check(diagonal || call.gate == longscanDeltaGateNone || call.gate == longscanDeltaGateScalar,
               "unknown gate");
    args.check(call.scale != 0, "scale is 0");
    checkF32(args, beta, beta ? B * T * H : 0, "beta");
    checkF32(args, g, call.gate == longscanDeltaGateNone ? 0 : B * T * H * (diagonal ? K : 1), "g");
    args.checkSize(b, k, k.numElements, "b");
    args.check(!b || !diagonal, "with a gate per channel keys erase");
    args.checkResets(resets, B, T);
    for (const TensorRef& tensor : {q, k, v, b, resets}) checkAligned(args, tensor);
    call.B = B, call.T = T;
    call.H = static_cast<int32_t>(H), call.K = static_cast<int32_t>(K), call.V = static_cast<int32_t>(V);
    call.q = q.data, call.k = k.data, call.v = v.data;
    call.beta = beta.as<float>();
    call.g = g.as<float>();
    call.b = b.data;
    call.resets = resets.as<int32_t>();
  }

  int64_t stateSize() const { return call.B * call.H * call.K * call.V; }

  /// Throws E-CUDA-KERNEL where there is no kernel for these head sizes.
  size_t keptBytes(const Args& args) const {
    const size_t bytes = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleKeptBytes)(&call);
    if (bytes > 0) return bytes;
    throw Error(
        "E-CUDA-KERNEL",
        std::string(args.function()) + ": no CUDA kernel for K = " + std::to_string(call.K) +
            ", V = " + std::to_string(call.V) + ", T = " + std::to_string(call.T) +
            ", only for K a multiple of 8 up to 256, V up to 512, at least one token, and a device whose "
            "blocks have the shared memory for K (Hopper: all). Fix: choose such head sizes, or the CPU "
            "(device.kind = \"cpu\")");
  }
  void* kept(Args& args) const {
    const TensorRef kept = args.tensor("kept");
    const size_t bytes = keptBytes(args);
    args.check(kept.bytes() == bytes, [&] { return "kept is not of " + std::to_string(bytes) + " bytes"; });
    checkAligned(args, kept);
    return kept.data;
  }

  size_t segmentsBytes(const Args& args) const {
    return LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleSegmentsBytes)(&call);
  }
  void* segments(Args& args) const {
    void* const segments = optionalSegments(args);
    args.check(segments != nullptr, "segments are missing");
    return segments;
  }
  void* optionalSegments(Args& args) const {
    const TensorRef segments = args.optionalTensor("segments");
    if (!segments) return nullptr;
    const size_t bytes = segmentsBytes(args);
    args.check(bytes > 0, "slices are not summarized by chunks on this device");
    args.check(segments.bytes() == bytes,
               [&] { return "segments are not of " + std::to_string(bytes) + " bytes"; });
    checkAligned(args, segments);
    return segments.data;
  }
  size_t leavingBytes(const Args& args) const {
    return LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleSummaryBackwardBytes)(&call);
  }
  int64_t leavingSize(const Args& args) const {
    return static_cast<int64_t>(leavingBytes(args) / sizeof(float));
  }

 private:
  static constexpr int64_t limit = 1 << 24;
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleForward);
  LongscanDeltaRuleForward io{};
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  io.o = typedArgument(args, "o", common.q, common.v.numElements);
  io.ht = optionalF32Argument(args, "ht", common.stateSize());
  io.kept = common.kept(args);
  io.prepared = args.flag("prepared");
  io.segments = common.optionalSegments(args);
  args.check(io.prepared || io.segments == nullptr, "segments are those of prepared chunks");
  const size_t workspace = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleForwardWorkspaceBytes)(&common.call);
  if (workspace > 0) io.workspace = args.workspace(workspace);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindPrepare(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRulePrepare);
  void* const kept = common.kept(args);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, kept, stream); });
  return args.env().Undefined();
}

Napi::Value bindTakes(Args& args) {
  const Common common(args);
  return Napi::Boolean::New(args.env(),
                            LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleTakes)(&common.call) != 0);
}

Napi::Value bindSummarizes(Args& args) {
  const Common common(args);
  return Napi::Boolean::New(args.env(), common.segmentsBytes(args) > 0);
}

Napi::Value bindSummaryBackwardBytes(Args& args) {
  const Common common(args);
  return Napi::Number::New(args.env(), static_cast<double>(common.leavingBytes(args)));
}

Napi::Value bindSummarize(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleSummarize);
  LongscanDeltaRuleSummary io{};
  io.kept = common.kept(args);
  io.state = f32Argument(args, "state", common.stateSize());
  io.factor = f32Argument(args, "factor", common.call.B * common.call.H * common.call.K * common.call.K);
  io.reset = optionalF32Argument(args, "reset", common.call.B);
  io.segments = common.segments(args);
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindSummarizeBackward(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleSummarizeBackward);
  LongscanDeltaRuleSummaryBackward io{};
  io.dO = typedArgument(args, "dO", common.q, common.v.numElements);
  io.kept = common.kept(args);
  io.segments = common.segments(args);
  io.adjoint = f32Argument(args, "adjoint", common.stateSize());
  io.leaving = f32Argument(args, "leaving", common.leavingSize(args));
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleBackward);
  const auto workspaceBytes = LONGSCAN_CUDA_FUNCTION(args, longscanDeltaRuleWorkspaceBytes);
  LongscanDeltaRuleBackward io{};
  io.dO = typedArgument(args, "dO", common.q, common.v.numElements);
  io.kept = common.kept(args);
  io.segments = common.optionalSegments(args);
  io.leaving = optionalF32Argument(args, "leaving", common.leavingSize(args));
  io.h0 = optionalF32Argument(args, "h0", common.stateSize());
  io.dht = optionalF32Argument(args, "dht", common.stateSize());
  io.dq = typedArgument(args, "dq", common.q, common.q.numElements);
  io.dk = typedArgument(args, "dk", common.q, common.k.numElements);
  io.dv = typedArgument(args, "dv", common.q, common.v.numElements);
  io.dbeta = optionalF32Argument(args, "dbeta", common.beta.numElements);
  io.dg = optionalF32Argument(args, "dg", common.g.numElements);
  io.db = gradientArgument(args, "db", common.b);
  io.dh0 = optionalF32Argument(args, "dh0", common.stateSize());
  args.check(common.call.gate == longscanDeltaGateNone || io.dg != nullptr, "dg is missing");
  io.workspace = args.workspace(workspaceBytes(&common.call));
  args.enqueueLaunch([=, call = common.call](CUstream_st* stream) { return kernel(&call, &io, stream); });
  return args.env().Undefined();
}

}  // namespace

void registerDeltaRuleCuda(Registry& registry) {
  registry.add("deltaRuleCudaTakes", 10, bindTakes);
  registry.add("deltaRuleCudaForward", 16, bindForward);
  registry.add("deltaRuleCudaPrepare", 11, bindPrepare);
  registry.add("deltaRuleCudaSummarizes", 10, bindSummarizes);
  registry.add("deltaRuleCudaSummarize", 15, bindSummarize);
  registry.add("deltaRuleCudaSummaryBackwardBytes", 10, bindSummaryBackwardBytes);
  registry.add("deltaRuleCudaSummarizeBackward", 15, bindSummarizeBackward);
  registry.add("deltaRuleCudaBackward", 23, bindBackward);
}

}  // namespace longscan
