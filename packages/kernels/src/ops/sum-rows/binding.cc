#include "../../addon/args.h"
#include "cuda.h"
#include "sum_rows.h"

namespace longscan {

namespace {

/// There x and target may be of two types.
Napi::Value sumRowsOnGpu(Args& args, const TensorRef& x, const TensorRef& target, bool accumulate) {
  LongscanSumRows call{x.numRows(), target.numElements, isBf16(args, x), isBf16(args, target), accumulate,
                       x.data,      target.data,        nullptr};
  call.workspace = args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanSumRowsWorkspaceBytes)(&call));
  const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSumRows);
  args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, stream); });
  return args.env().Undefined();
}

Napi::Value bindSumRows(Args& args) {
  Stream& stream = args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef target = args.tensor("target");
  const bool accumulate = args.flag("accumulate");
  const int64_t cols = target.numElements;
  args.check(x.numDims >= 1 && x.dim(-1) == cols, "target is not one row of x");
  if (args.onGpu()) return sumRowsOnGpu(args, x, target, accumulate);
  args.checkSameType(x, target);
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, x.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      const int64_t rows = x.numRows();
      // Threads take columns, so that no sum depends on their number.
      parallelFor(pool, cols, rows, [&](int64_t begin, int64_t end) {
        sumRows(x.as<T>(), target.as<T>(), rows, cols, accumulate, begin, end);
      });
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_sum_rows(Registry& registry) {
  registry.add("sumRows", 4, bindSumRows);
}

}  // namespace longscan
