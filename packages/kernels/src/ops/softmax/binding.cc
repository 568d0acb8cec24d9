#include "softmax.h"

#include "../../addon/args.h"

namespace longscan {

namespace {

/// y has as many rows as x, and no fewer columns.
void checkRouted(Args& args, const TensorRef& x, const TensorRef& y) {
  args.checkSameType(x, y);
  args.check(x.numDims >= 1 && x.dim(-1) >= 1 && y.numDims >= 1 && y.dim(-1) >= x.dim(-1),
             "rows without columns");
  args.check(x.numRows() == y.numRows(), "numbers of rows differ");
}

Napi::Value bindSoftmaxForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.sizedTensor("y", x, x.numElements);
  args.check(x.numDims >= 1 && x.dim(-1) >= 1, "rows without columns");
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
