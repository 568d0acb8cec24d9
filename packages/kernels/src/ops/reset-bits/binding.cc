#include <cstdint>

#include "../../addon/args.h"
#include "cuda.h"

namespace longscan {

namespace {

Napi::Value bindResetBits(Args& args) {
  args.stream();
  const TensorRef resets = args.tensor("resets", DType::i32);
  const TensorRef bits = args.tensor("bits");
  args.check(resets.numDims == 2 && bits.numElements == resets.dim(0), "not [B, T] and [B]");
  if (args.onGpu()) {
    args.check(bits.dtype == DType::f32, "on a GPU bits are f32");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanResetBits);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(resets.as<int32_t>(), resets.dim(0), resets.dim(1), bits.as<float>(), stream);
    });
    return args.env().Undefined();
  }
  dispatchFloat(args, bits.dtype, [&](auto zero) {
    using Real = decltype(zero);
    args.enqueue([=] {
      const int64_t B = resets.dim(0), T = resets.dim(1);
      for (int64_t b = 0; b < B; b++) {
        const int32_t* row = resets.as<int32_t>() + b * T;
        bool any = false;
        for (int64_t t = 0; t < T && !any; t++) any = row[t] != 0;
        bits.as<Real>()[b] = any ? Real(1) : Real(0);
      }
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_reset_bits(Registry& registry) {
  registry.add("resetBits", 3, bindResetBits);
}

}  // namespace longscan
