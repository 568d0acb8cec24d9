#pragma once

#include "gpu_args.h"
#include "head_args.h"

namespace longscan {

/// The call of a recurrence over heads with kernels of its own for K and V up to 256. `Call`: the op's C
/// struct, with `type` and `workspace`. An op takes its own arguments between `takeHeads` and `takeState`.
template <typename Call>
struct GpuHeadArgs {
  Call call{};
  TensorRef like;  // q
  int64_t numTokens, numKeys, numValues;

  /// q, k and v.
  void takeHeads(Args& args) {
    const HeadArgs heads(args);
    like = heads.q;
    numTokens = heads.numTokens(), numKeys = heads.numKeys(), numValues = heads.numValues();
    call.B = heads.B, call.T = heads.T;
    call.H = static_cast<int32_t>(heads.H), call.K = static_cast<int32_t>(heads.K);
    call.V = static_cast<int32_t>(heads.V);
    call.type = elementArgument(args, heads.q);
    call.q = heads.q.data, call.k = heads.k.data, call.v = heads.v.data;
    for (const TensorRef& tensor : {heads.q, heads.k, heads.v}) checkAligned(args, tensor);
  }

  /// resets [B, T], and h0 of so many numbers, f32; either may be null.
  void takeState(Args& args, int64_t size) {
    const TensorRef resets = args.optionalTensor("resets");
    args.checkResets(resets, call.B, call.T);
    checkAligned(args, resets);
    call.resets = resets.as<int32_t>();
    call.h0 = optionalF32Argument(args, "h0", size);
  }

  /// Throws E-CUDA-KERNEL where `count` says that no kernel takes the call.
  void takeWorkspace(Args& args, size_t (*count)(const Call*)) {
    const size_t bytes = count(&call);
    if (bytes == 0)
      throwNoKernel(args,
                    "K = " + std::to_string(call.K) + ", V = " + std::to_string(call.V) +
                        ", T = " + std::to_string(call.T),
                    "K and V up to 256, and at least one token");
    call.workspace = args.workspace(bytes);
  }
};

}  // namespace longscan
