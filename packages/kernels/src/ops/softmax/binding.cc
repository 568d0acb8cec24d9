#include "softmax.h"

#include "../../addon/args.h"

namespace longscan {

namespace {

void checkSameSize(Args& args, const TensorRef& x, const TensorRef& y) {
  args.checkSameType(x, y);
  args.check(x.numDims >= 1 && x.dim(-1) >= 1, "rows without columns");
  args.check(y.numElements == x.numElements, "sizes differ");
}

/// y has as many rows as x, and no fewer columns.
void checkRouted(Args& args, const TensorRef& x, const TensorRef& y) {
  args.checkSameType(x, y);
  args.check(x.numDims >= 1 && x.dim(-1) >= 1 && y.numDims >= 1 && y.dim(-1) >= x.dim(-1),
             "rows without columns");
  args.check(x.numRows() == y.numRows(), "numbers of rows differ");
}

/// Enqueues `body(begin, end, T{})` over the rows of `x`; an element costs about `work` additions.
template <typename Body>
Napi::Value enqueueRows(Args& args, Stream& stream, const TensorRef& x, int64_t work, Body body) {
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, x.dtype, [&](auto zero) {
    args.enqueue([=, &pool] {
      parallelFor(pool, x.numRows(), work * x.dim(-1),
                  [&](int64_t begin, int64_t end) { body(begin, end, zero); });
    });
  });
  return args.env().Undefined();
}

Napi::Value bindSoftmaxForward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef y = args.tensor("y");
  checkSameSize(args, x, y);
  return enqueueRows(args, stream, x, 8, [=](int64_t begin, int64_t end, auto zero) {
    using T = decltype(zero);
    softmaxForward(x.as<T>(), y.as<T>(), x.dim(-1), begin, end);
  });
}

Napi::Value bindSoftmaxOfLargest(Args& args) {
  Stream& stream = args.stream();
  const TensorRef x = args.tensor("x");
  const int64_t count = args.integer("count");
  const TensorRef y = args.tensor("y");
  const TensorRef selected = args.tensor("selected", DType::i32);
  checkRouted(args, x, y);
  args.check(selected.numElements == y.numElements, "selected does not have the size of y");
  args.check(count >= 1 && count <= x.dim(-1), "count is not between 1 and the number of columns");
  return enqueueRows(args, stream, x, 8 * count, [=](int64_t begin, int64_t end, auto zero) {
    using T = decltype(zero);
    softmaxOfLargest(x.as<T>(), count, y.as<T>(), selected.as<int32_t>(), x.dim(-1), y.dim(-1), begin, end);
  });
}

Napi::Value bindSoftmaxBackward(Args& args) {
  Stream& stream = args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef y = args.tensor("y");
  const TensorRef dx = args.tensor("dx");
  checkSameSize(args, dy, y);
  checkRouted(args, dx, y);
  return enqueueRows(args, stream, dx, 2, [=](int64_t begin, int64_t end, auto zero) {
    using T = decltype(zero);
    softmaxBackward(dy.as<T>(), y.as<T>(), dx.as<T>(), dx.dim(-1), y.dim(-1), begin, end);
  });
}

}  // namespace

void register_softmax(Registry& registry) {
  registry.add("softmaxForward", 3, bindSoftmaxForward);
  registry.add("softmaxOfLargest", 5, bindSoftmaxOfLargest);
  registry.add("softmaxBackward", 4, bindSoftmaxBackward);
}

}  // namespace longscan
