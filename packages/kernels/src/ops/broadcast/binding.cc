#include "../../addon/gpu_args.h"
#include "broadcast.h"
#include "cuda.h"

namespace longscan {

namespace {

BroadcastShape shapeArgument(Args& args, const TensorRef& a) {
  const int64_t middle = args.integer("middle");
  const int64_t inner = args.integer("inner");
  args.check(middle >= 1 && inner >= 1 && a.numElements % (middle * inner) == 0,
             "a is not [outer, middle, inner]");
  return {a.numElements / (middle * inner), middle, inner};
}

void checkOperands(Args& args, const TensorRef& a, const TensorRef& b, const TensorRef& y,
                   const BroadcastShape& shape) {
  if (!args.onGpu()) {
    args.checkSameType(a, b);
    args.checkSameType(a, y);
  }
  args.check(b.numElements == shape.middle, "b is not [middle]");
  args.check(y.numElements == a.numElements, "a and y differ in size");
}

Napi::Value bindMultiply(Args& args) {
  args.stream();
  const TensorRef a = args.tensor("a");
  const TensorRef b = args.tensor("b");
  const TensorRef y = args.tensor("y");
  const BroadcastShape shape = shapeArgument(args, a);
  checkOperands(args, a, b, y, shape);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanBroadcastMultiply);
    const LongscanBroadcast call{shape.outer, shape.middle, shape.inner};
    const LongscanArray first = gpuArray(args, a), second = gpuArray(args, b), result = gpuArray(args, y);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, first, second, result, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(a.dtype, shape.numRows(), shape.rowLength(), [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    broadcastMultiply(a.as<T>(), b.as<T>(), y.as<T>(), shape, begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindAdd(Args& args) {
  args.stream();
  const double factor = args.number("factor");
  const TensorRef a = args.tensor("a");
  const TensorRef b = args.tensor("b");
  const TensorRef y = args.tensor("y");
  const BroadcastShape shape = shapeArgument(args, a);
  checkOperands(args, a, b, y, shape);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanBroadcastAdd);
    const LongscanBroadcast call{shape.outer, shape.middle, shape.inner};
    const LongscanArray first = gpuArray(args, a), second = gpuArray(args, b), result = gpuArray(args, y);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(&call, static_cast<float>(factor), first, second, result, stream);
    });
    return args.env().Undefined();
  }
  args.enqueueRanges(a.dtype, shape.numRows(), shape.rowLength(), [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    broadcastAdd(static_cast<T>(factor), a.as<T>(), b.as<T>(), y.as<T>(), shape, begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindReduce(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef a = args.optionalTensor("a");
  const TensorRef partial = args.tensor("partial");
  const BroadcastShape shape = shapeArgument(args, dy);
  if (!args.onGpu()) {
    args.checkSameType(dy, partial);
    if (a) args.checkSameType(dy, a);
  }
  args.check(!a || a.numElements == dy.numElements, "a and dy differ in size");
  const int64_t numBlocks = (shape.outer + broadcastBlockRows - 1) / broadcastBlockRows;
  args.check(partial.numElements == numBlocks * shape.middle, "partial is not [blocks, middle]");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanBroadcastReduce);
    const LongscanBroadcast call{shape.outer, shape.middle, shape.inner};
    const LongscanArray gradient = gpuArray(args, dy), other = gpuArray(args, a),
                        sums = gpuArray(args, partial);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, gradient, other, sums, stream); });
    return args.env().Undefined();
  }
  const int64_t numItems = numBlocks * ((shape.middle + broadcastStretch - 1) / broadcastStretch);
  const int64_t work = dy.numElements / (numItems > 0 ? numItems : 1);
  args.enqueueRanges(dy.dtype, numItems, work, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    broadcastReduce(dy.as<T>(), a.as<T>(), partial.as<T>(), shape, begin, end);
  });
  return args.env().Undefined();
}

/// `repeated` [.., times, inner] is made of `single` [.., inner]. Returns `times`.
int64_t timesOf(Args& args, const TensorRef& single, const TensorRef& repeated) {
  args.checkSameType(single, repeated);
  args.check(single.numDims >= 1 && single.numElements > 0 && repeated.numElements % single.numElements == 0,
             "y is not a whole number of copies of x");
  return repeated.numElements / single.numElements;
}

/// Enqueues `kernel` for the rows of `single`.
template <typename Kernel>
Napi::Value enqueueRepeats(Args& args, const TensorRef& single, const TensorRef& repeated, Kernel kernel) {
  const int64_t times = timesOf(args, single, repeated), inner = single.dim(-1);
  args.enqueueRanges(single.dtype, single.numRows(), times * inner,
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       kernel(single.as<T>(), repeated.as<T>(), times, inner, begin, end);
                     });
  return args.env().Undefined();
}

Napi::Value bindRepeatRows(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.tensor("y");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanRepeatRows);
    const int64_t times = timesOf(args, x, y), bytes = static_cast<int64_t>(dtypeBytes(x.dtype));
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(x.data, y.data, x.numRows(), times, x.dim(-1), bytes, stream);
    });
    return args.env().Undefined();
  }
  return enqueueRepeats(args, x, y,
                        [](auto* from, auto* to, auto... range) { repeatRows(from, to, range...); });
}

Napi::Value bindSumRepeats(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef dx = args.tensor("dx");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSumRepeats);
    args.enqueueLaunch([=, times = timesOf(args, dx, dy), bf16 = isBf16(args, dx)](CUstream_st* stream) {
      return kernel(bf16, dy.data, dx.data, dx.numRows(), times, dx.dim(-1), stream);
    });
    return args.env().Undefined();
  }
  return enqueueRepeats(args, dx, dy,
                        [](auto* to, auto* from, auto... range) { sumRepeats(from, to, range...); });
}

}  // namespace

void register_broadcast(Registry& registry) {
  registry.add("broadcastMultiply", 6, bindMultiply);
  registry.add("broadcastAdd", 7, bindAdd);
  registry.add("broadcastReduce", 6, bindReduce);
  registry.add("repeatRows", 3, bindRepeatRows);
  registry.add("sumRepeats", 3, bindSumRepeats);
}

}  // namespace longscan
