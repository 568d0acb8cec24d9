#include "../../addon/gpu_args.h"
#include "add.h"
#include "cuda.h"

namespace longscan {

namespace {

Napi::Value bindAddForward(Args& args) {
  args.stream();
  const TensorRef a = args.tensor("a");
  const TensorRef b = args.tensor("b");
  const TensorRef y = args.tensor("y");
  args.check(a.numElements == b.numElements && a.numElements == y.numElements, "a, b and y differ in size");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanAdd);
    const LongscanArray first = gpuArray(args, a), second = gpuArray(args, b), sum = gpuArray(args, y);
    args.enqueueLaunch(
        [=](CUstream_st* stream) { return kernel(first, second, sum, y.numElements, stream); });
    return args.env().Undefined();
  }
  args.checkSameType(a, b);
  args.checkSameType(a, y);
  args.enqueueRanges(a.dtype, y.numElements, 1, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    addForward(a.as<T>(), b.as<T>(), y.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindAxpy(Args& args) {
  args.stream();
  const double factor = args.number("factor");
  const TensorRef x = args.tensor("x");
  const TensorRef target = args.tensor("target");
  args.check(x.numElements == target.numElements, "x and target differ in size");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanAxpy);
    const LongscanArray from = gpuArray(args, x), to = gpuArray(args, target);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(static_cast<float>(factor), from, to, x.numElements, stream);
    });
    return args.env().Undefined();
  }
  args.checkSameType(x, target);
  args.enqueueRanges(x.dtype, target.numElements, 1, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    axpy(static_cast<T>(factor), x.as<T>(), target.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_add(Registry& registry) {
  registry.add("addForward", 4, bindAddForward);
  registry.add("axpy", 4, bindAxpy);
}

}  // namespace longscan
