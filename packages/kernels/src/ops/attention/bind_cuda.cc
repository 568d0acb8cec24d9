#include "bind_cuda.h"

#include "../../addon/gpu_shared_memory.h"
#include "cuda.h"

namespace longscan {

namespace {

int32_t elementOf(const Args& args, const TensorRef& tensor) {
  return isBf16(args, tensor) ? longscanElementBf16 : longscanElementF32;
}

LongscanAttention callOf(Args& args, const AttentionArguments& c) {
  LongscanAttention call{};
  call.B = c.B, call.T = c.T, call.S = c.S;
  call.H = static_cast<int32_t>(c.H), call.G = static_cast<int32_t>(c.G);
  call.K = static_cast<int32_t>(c.K), call.V = static_cast<int32_t>(c.V);
  call.keyOffset = c.keyOffset, call.window = c.window, call.chunk = c.chunk;
  call.type = call.resultType = elementOf(args, c.q);
  call.positions = c.positions.as<int32_t>();
  call.after = c.after.as<int32_t>();
  call.q = c.q.data, call.k = c.k.data, call.v = c.v.data;
  call.kSelf = c.kSelf.data, call.vSelf = c.vSelf.data;
  call.scale = static_cast<float>(c.scale);
  call.accumulate = args.flag("accumulate");
  for (const TensorRef& tensor : {c.q, c.k, c.v, c.kSelf, c.vSelf}) checkAligned(args, tensor);
  return call;
}

/// Throws E-CUDA-KERNEL where there is no kernel.
size_t workspaceBytes(Args& args, const LongscanAttention& call) {
  const auto count = LONGSCAN_CUDA_FUNCTION(args, longscanAttentionBackwardWorkspaceBytes);
  const size_t bytes = count(&call);
  const std::string sizes = "K = " + std::to_string(call.K) + ", V = " + std::to_string(call.V) +
                            ", T = " + std::to_string(call.T) + ", S = " + std::to_string(call.S);
  if (bytes == 0)
    throwNoKernel(args, sizes,
                  "K and V multiples of 8 up to 256, at least one query and one key, and fewer than 65536 "
                  "heads times batch rows");
  requireSharedBytes(args, LONGSCAN_CUDA_FUNCTION(args, longscanAttentionSharedBytes)(&call), sizes);
  return bytes;
}

/// o or a gradient, of the inputs' type or f32.
void* resultArgument(Args& args, const char* name, const AttentionArguments& c, int64_t count,
                     int32_t* type) {
  const TensorRef tensor = args.tensor(name);
  args.check(tensor.numElements == count && (tensor.dtype == c.q.dtype || tensor.dtype == DType::f32), [&] {
    return std::string(name) + " is not of q's type or f32, with " + std::to_string(count) + " elements";
  });
  checkAligned(args, tensor);
  *type = elementOf(args, tensor);
  return tensor.data;
}

}  // namespace

void attentionForwardOnGpu(Args& args, const AttentionArguments& c) {
  LongscanAttention call = callOf(args, c);
  args.check(!call.accumulate || !c.kSelf, "own keys are where a softmax starts");
  LongscanAttentionForward io{};
  io.o = resultArgument(args, "o", c, c.B * c.T * c.H * c.V, &call.resultType);
  io.lse = f32Argument(args, "lse", c.B * c.T * c.H);
  workspaceBytes(args, call);
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanAttentionForward);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, &io, stream); });
}

void attentionBackwardOnGpu(Args& args, const AttentionArguments& c) {
  LongscanAttention call = callOf(args, c);
  LongscanAttentionBackward io{};
  io.o = resultArgument(args, "o", c, c.B * c.T * c.H * c.V, &io.oType);
  io.lse = f32Argument(args, "lse", c.B * c.T * c.H);
  io.dO = typedArgument(args, "dO", c.q, c.B * c.T * c.H * c.V);
  io.dq = resultArgument(args, "dq", c, c.q.numElements, &call.resultType);
  const auto alike = [&](const char* name, int64_t count) {
    int32_t type;
    void* data = resultArgument(args, name, c, count, &type);
    args.check(type == call.resultType, [&] { return std::string(name) + " is not of dq's type"; });
    return data;
  };
  io.dk = alike("dk", c.k.numElements);
  io.dv = alike("dv", c.v.numElements);
  if (c.kSelf) {
    io.dkSelf = alike("dkSelf", c.kSelf.numElements);
    io.dvSelf = alike("dvSelf", c.vSelf.numElements);
  } else {
    const bool none = !args.optionalTensor("dkSelf") && !args.optionalTensor("dvSelf");
    args.check(none, "gradients of own keys go with own keys");
  }
  io.workspace = args.workspace(workspaceBytes(args, call));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanAttentionBackward);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, &io, stream); });
}

void chunkEndsOnGpu(Args& args, const ChunkEndsArguments& c) {
  LongscanChunkEnds call{};
  call.B = c.B, call.T = c.T, call.slots = c.slots, call.rowSize = c.rowSize;
  call.chunk = c.chunk, call.tokenOffset = c.tokenOffset;
  call.type = elementOf(args, c.tokens);
  call.backward = c.backward;
  call.positions = c.positions.as<int32_t>();
  call.tokens = c.tokens.data, call.ends = c.ends.data;
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanChunkEnds);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, stream); });
}

}  // namespace longscan
