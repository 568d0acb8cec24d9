#include "../../addon/args.h"
#include "cuda.h"
#include "flip.h"

namespace longscan {

namespace {

Napi::Value bindFlip(Args& args) {
  Stream& stream = args.stream();
  const int64_t axis = args.integer("axis");
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.tensor("y");
  args.checkSameType(x, y);
  args.check(y.numElements == x.numElements, "x and y differ in size");
  args.check(axis >= 0 && axis < x.numDims, "x has no such axis");
  if (x.numElements == 0) return args.env().Undefined();
  int64_t rows = 1;
  for (int64_t dim = 0; dim <= axis; dim++) rows *= x.dim(dim);
  const int64_t length = x.dim(axis);
  const int64_t bytes = static_cast<int64_t>(x.bytes()) / rows;
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanFlip);
    args.enqueueLaunch([=](CUstream_st* gpuStream) {
      return kernel(x.data, y.data, rows / length, length, bytes, gpuStream);
    });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  args.enqueue([=, &pool] {
    parallelFor(pool, rows, bytes, [&](int64_t begin, int64_t end) {
      flip(x.as<char>(), y.as<char>(), length, bytes, begin, end);
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_flip(Registry& registry) {
  registry.add("flip", 4, bindFlip);
}

}  // namespace longscan
