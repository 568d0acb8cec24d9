#include "bind_pair.h"

namespace longscan {

namespace {

/// Both weights [out, in] and what they make of x [rows, in], side by side in the rows of y [rows, 2 out]:
/// values or gradients of them.
struct Pair {
  TensorRef x, first, second, y;
  int64_t rows, in, out;

  Pair(Args& args, const TensorRef& x, const TensorRef& first, const TensorRef& second, const TensorRef& y)
      : x(x), first(first), second(second), y(y), rows(x.numRows()), in(first.dim(1)), out(first.dim(0)) {
    args.check(args.onGpu(), "only GPUs multiply by two weights at once");
    args.check(first.numDims == 2 && second.numDims == 2, "a weight is not a matrix");
    args.check(second.dim(0) == out && second.dim(1) == in, "the weights differ in shape");
    args.check(x.dim(-1) == in && y.dim(-1) == 2 * out, "last dims do not fit the weights");
    args.check(rows == y.numRows(), "numbers of rows differ");
    args.checkSameType(x, y);
    args.checkSameType(first, second);
  }

  /// Whether the second weight begins where the first one ends, as parameters declared one after the other
  /// do: then they are one matrix of twice the rows.
  bool areOne() const {
    return first.as<char>() + first.numElements * static_cast<int64_t>(dtypeBytes(first.dtype)) ==
           second.as<char>();
  }
  CudaMatrix X() const { return {x.data, x.dtype, in}; }
  CudaMatrix W(int which) const {
    const TensorRef& weight = which == 0 ? first : second;
    return {weight.data, weight.dtype, in};
  }
  /// From the columns of this weight on.
  CudaMatrix Y(int which) const {
    return {y.as<char>() + which * out * static_cast<int64_t>(dtypeBytes(y.dtype)), y.dtype, 2 * out};
  }
};

/// Enqueues what `productOf(weight, columns)` gives: one product with both weights where that can be, else
/// one after the other.
template <typename ProductOf>
Napi::Value enqueuePair(Args& args, const Pair& pair, bool asOne, ProductOf productOf) {
  if (asOne) {
    args.enqueueGemm(productOf(0, 2 * pair.out));
    return args.env().Undefined();
  }
  const auto first = args.prepareGemm(productOf(0, pair.out));
  const auto second = args.prepareGemm(productOf(1, pair.out));
  args.enqueueLaunch([=](CUstream_st*) {
    first();
    second();
    return 0;
  });
  return args.env().Undefined();
}

}  // namespace

Napi::Value bindLinearPairForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef first = args.tensor("first");
  const TensorRef second = args.tensor("second");
  const Pair pair(args, x, first, second, args.tensor("y"));
  return enqueuePair(args, pair, pair.areOne(), [&](int which, int64_t columns) {
    return CudaGemm{false, true, pair.rows, columns, pair.in, pair.X(), pair.W(which), pair.Y(which)};
  });
}

Napi::Value bindLinearPairInputGradient(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef first = args.tensor("first");
  const TensorRef second = args.tensor("second");
  const TensorRef dx = args.tensor("dx");
  const bool accumulate = args.flag("accumulate");
  const Pair pair(args, dx, first, second, dy);
  return enqueuePair(args, pair, pair.areOne(), [&](int which, int64_t columns) {
    return CudaGemm{false,         false,    pair.rows,
                    pair.in,       columns,  pair.Y(which),
                    pair.W(which), pair.X(), accumulate || which == 1};
  });
}

Napi::Value bindLinearPairWeightGradient(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef x = args.tensor("x");
  const TensorRef dFirst = args.tensor("dFirst");
  const TensorRef dSecond = args.tensor("dSecond");
  const bool accumulates[] = {args.flag("accumulateFirst"), args.flag("accumulateSecond")};
  const Pair pair(args, x, dFirst, dSecond, dy);
  const bool asOne = pair.areOne() && accumulates[0] == accumulates[1];
  return enqueuePair(args, pair, asOne, [&](int which, int64_t columns) {
    return CudaGemm{true,          false,    columns,       pair.in,           pair.rows,
                    pair.Y(which), pair.X(), pair.W(which), accumulates[which]};
  });
}

}  // namespace longscan
