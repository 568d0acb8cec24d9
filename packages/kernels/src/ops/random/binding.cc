#include "../../addon/args.h"
#include "cuda.h"
#include "random.h"

namespace longscan {

namespace {

/// Of what a number of blocks counts as; a logarithm and a cosine are dear.
constexpr int64_t workPerBlock = 64;

Napi::Value bindFillNormal(Args& args) {
  args.stream();
  const auto key0 = static_cast<uint32_t>(args.integer("key0"));
  const auto key1 = static_cast<uint32_t>(args.integer("key1"));
  const double deviation = args.number("deviation");
  const TensorRef target = args.tensor("target");
  const int64_t count = target.numElements;
  if (args.onGpu()) {
    args.check(target.dtype == DType::f32, "target is not f32");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanFillNormal);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(key0, key1, deviation, target.as<float>(), count, stream);
    });
    return args.env().Undefined();
  }
  const int64_t numBlocks = (count + normalsPerBlock - 1) / normalsPerBlock;
  args.enqueueRanges(target.dtype, numBlocks, workPerBlock, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    fillNormal(target.as<T>(), count, RandomKey{{key0, key1}}, deviation, begin, end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_random(Registry& registry) {
  registry.add("fillNormal", 5, bindFillNormal);
}

}  // namespace longscan
