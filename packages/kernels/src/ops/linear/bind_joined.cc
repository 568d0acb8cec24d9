#include "bind_joined.h"

#include <vector>

namespace longscan {

namespace {

using Weights = std::vector<TensorRef>;

/// Two, or three.
Weights weightArguments(Args& args, const char* first, const char* second, const char* third) {
  Weights weights = {args.tensor(first), args.tensor(second)};
  if (const TensorRef last = args.optionalTensor(third)) weights.push_back(last);
  return weights;
}

/// The weights [out, in] and what they make of x [rows, in], side by side in the rows of y
/// [rows, weights out]: values or gradients of them.
struct Joined {
  TensorRef x, y;
  Weights weights;
  int64_t rows, in, out;

  Joined(Args& args, const TensorRef& x, const Weights& weights, const TensorRef& y)
      : x(x), y(y), weights(weights), rows(x.numRows()), in(weights[0].dim(1)), out(weights[0].dim(0)) {
    args.check(args.onGpu(), "only GPUs multiply by several weights at once");
    for (const TensorRef& weight : weights) {
      args.check(weight.numDims == 2, "a weight is not a matrix");
      args.check(weight.dim(0) == out && weight.dim(1) == in, "the weights differ in shape");
      args.checkSameType(weights[0], weight);
    }
    args.check(x.dim(-1) == in && y.dim(-1) == count() * out, "last dims do not fit the weights");
    args.check(rows == y.numRows(), "numbers of rows differ");
    args.checkSameType(x, y);
  }

  int64_t count() const { return static_cast<int64_t>(weights.size()); }
  /// Whether each weight begins where the one before it ends, as parameters declared one after the other do:
  /// then they are one matrix of so many times the rows.
  bool areOne() const {
    const int64_t bytes = weights[0].numElements * static_cast<int64_t>(dtypeBytes(weights[0].dtype));
    for (int64_t i = 1; i < count(); i++) {
      if (weights[i - 1].as<char>() + bytes != weights[i].as<char>()) return false;
    }
    return true;
  }
  CudaMatrix X() const { return {x.data, x.dtype, in}; }
  CudaMatrix W(int64_t which) const { return {weights[which].data, weights[which].dtype, in}; }
  /// From the columns of this weight on.
  CudaMatrix Y(int64_t which) const {
    return {y.as<char>() + which * out * static_cast<int64_t>(dtypeBytes(y.dtype)), y.dtype, count() * out};
  }
};

/// Enqueues what `productOf(weight, columns)` gives: one product with all weights where that can be, else one
/// after the other.
template <typename ProductOf>
Napi::Value enqueueJoined(Args& args, const Joined& joined, bool asOne, ProductOf productOf) {
  if (asOne) {
    args.enqueueGemm(productOf(0, joined.count() * joined.out));
    return args.env().Undefined();
  }
  std::vector<std::function<void()>> products;
  for (int64_t which = 0; which < joined.count(); which++) {
    products.push_back(args.prepareGemm(productOf(which, joined.out)));
  }
  args.enqueueLaunch([products = std::move(products)](CUstream_st*) {
    for (const auto& launch : products) launch();
    return 0;
  });
  return args.env().Undefined();
}

}  // namespace

Napi::Value bindLinearJoinedForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const Weights weights = weightArguments(args, "first", "second", "third");
  const Joined joined(args, x, weights, args.tensor("y"));
  return enqueueJoined(args, joined, joined.areOne(), [&](int64_t which, int64_t columns) {
    return CudaGemm{false, true, joined.rows, columns, joined.in, joined.X(), joined.W(which),
                    joined.Y(which)};
  });
}

Napi::Value bindLinearJoinedInputGradient(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const Weights weights = weightArguments(args, "first", "second", "third");
  const TensorRef dx = args.tensor("dx");
  const bool accumulate = args.flag("accumulate");
  const Joined joined(args, dx, weights, dy);
  return enqueueJoined(args, joined, joined.areOne(), [&](int64_t which, int64_t columns) {
    return CudaGemm{false,           false,      joined.rows,
                    joined.in,       columns,    joined.Y(which),
                    joined.W(which), joined.X(), accumulate || which > 0};
  });
}

Napi::Value bindLinearJoinedWeightGradient(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef x = args.tensor("x");
  const Weights gradients = weightArguments(args, "dFirst", "dSecond", "dThird");
  const bool accumulates[] = {args.flag("accumulateFirst"), args.flag("accumulateSecond"),
                              args.flag("accumulateThird")};
  const Joined joined(args, x, gradients, dy);
  // Three are faster by themselves: docs/benchmarks/gpu-step-power_h200_2026-11.md.
  const bool asOne = joined.count() == 2 && joined.areOne() && accumulates[0] == accumulates[1];
  return enqueueJoined(args, joined, asOne, [&](int64_t which, int64_t columns) {
    return CudaGemm{true,
                    false,
                    columns,
                    joined.in,
                    joined.rows,
                    joined.Y(which),
                    joined.X(),
                    joined.W(which),
                    accumulates[which]};
  });
}

}  // namespace longscan
