#include "softmax.h"

#include "../../addon/gpu_args.h"
#include "cuda.h"

namespace longscan {

namespace {

/// y has as many rows as x, and no fewer columns.
void checkRouted(Args& args, const TensorRef& x, const TensorRef& y) {
  args.checkSameType(x, y);
  args.check(x.numDims >= 1 && x.dim(-1) >= 1 && y.numDims >= 1 && y.dim(-1) >= x.dim(-1),
             "rows without columns");
  args.check(x.numRows() == y.numRows(), "numbers of rows differ");
}

LongscanSoftmax onGpu(Args& args, const TensorRef& x) {
  return {x.numRows(), x.dim(-1), elementArgument(args, x)};
}

/// Routes have kernels of their own there.
void checkRoutes(const Args& args, const TensorRef& x) {
  if (x.dim(-1) > 1024) throwNoKernel(args, std::to_string(x.dim(-1)) + " destinations", "up to 1024");
}

Napi::Value bindSoftmaxForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.sizedTensor("y", x, x.numElements);
  args.check(x.numDims >= 1 && x.dim(-1) >= 1, "rows without columns");
  if (args.onGpu()) {
    checkHeldRow(args, x);
    for (const TensorRef& tensor : {x, y}) checkAligned(args, tensor);
    const LongscanSoftmax call = onGpu(args, x);
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSoftmaxForward);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, x.data, y.data, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(x.dtype, x.numRows(), 8 * x.dim(-1), [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    softmaxForward(x.as<T>(), y.as<T>(), x.dim(-1), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindSoftmaxOfLargest(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const int64_t count = args.integer("count");
  const TensorRef y = args.tensor("y");
  const TensorRef selected = args.tensor("selected", DType::i32);
  checkRouted(args, x, y);
  args.check(selected.numElements == y.numElements, "selected does not have the size of y");
  args.check(count >= 1 && count <= x.dim(-1), "count is not between 1 and the number of columns");
  if (args.onGpu()) {
    checkRoutes(args, x);
    const LongscanSoftmax call = onGpu(args, x);
    const LongscanSoftmaxOfLargest io{count, y.dim(-1), x.data, y.data, selected.as<int32_t>()};
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSoftmaxOfLargest);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, &io, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(x.dtype, x.numRows(), 8 * count * x.dim(-1), [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    softmaxOfLargest(x.as<T>(), count, y.as<T>(), selected.as<int32_t>(), x.dim(-1), y.dim(-1), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindSoftmaxBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef y = args.sizedTensor("y", dy, dy.numElements);
  const TensorRef dx = args.tensor("dx");
  checkRouted(args, dx, y);
  if (args.onGpu()) {
    if (y.dim(-1) == dx.dim(-1)) {
      checkHeldRow(args, dx);
      for (const TensorRef& tensor : {dy, y, dx}) checkAligned(args, tensor);
    } else {
      checkRoutes(args, dx);
    }
    const LongscanSoftmax call = onGpu(args, dx);
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSoftmaxBackward);
    args.enqueueLaunch(
        [=](CUstream_st* stream) { return kernel(&call, y.dim(-1), dy.data, y.data, dx.data, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(dx.dtype, dx.numRows(), 2 * dx.dim(-1), [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    softmaxBackward(dy.as<T>(), y.as<T>(), dx.as<T>(), dx.dim(-1), y.dim(-1), begin, end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_softmax(Registry& registry) {
  registry.add("softmaxForward", 3, bindSoftmaxForward);
  registry.add("softmaxOfLargest", 5, bindSoftmaxOfLargest);
  registry.add("softmaxBackward", 4, bindSoftmaxBackward);
}

}  // namespace longscan
