#include "../../addon/args.h"
#include "cuda.h"
#include "swap_axes.h"

namespace longscan {

namespace {

Napi::Value bindSwapAxes(Args& args) {
  Stream& stream = args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.tensor("y");
  args.checkSameType(x, y);
  args.check(x.numDims >= 2 && y.numElements == x.numElements, "x has no two axes, or y another size");
  const int64_t outer = x.dim(0);
  const int64_t inner = x.dim(1);
  const int64_t rows = outer * inner;
  if (rows == 0) return args.env().Undefined();
  const int64_t bytes = static_cast<int64_t>(x.bytes()) / rows;
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSwapAxes);
    args.enqueueLaunch(
        [=](CUstream_st* gpuStream) { return kernel(x.data, y.data, outer, inner, bytes, gpuStream); });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, rows, bytes, [&](int64_t begin, int64_t end) {
      swapAxes(x.as<char>(), y.as<char>(), outer, inner, bytes, begin, end);
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_swap_axes(Registry& registry) {
  registry.add("swapAxes", 3, bindSwapAxes);
}

}  // namespace longscan
