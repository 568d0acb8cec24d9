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

/// Weights of `in` columns and what they make of x [rows, in], side by side in the rows of y: values or
/// gradients of them.
struct Joined {
  TensorRef x, y;
  Weights weights;
  int64_t rows, in, out = 0;

  Joined(Args& args, const TensorRef& x, const Weights& weights, const TensorRef& y)
      : x(x), y(y), weights(weights), rows(x.numRows()), in(x.dim(-1)) {
    args.check(args.onGpu(), "only GPUs multiply by several weights at once");
    for (const TensorRef& weight : weights) {
      args.check(weight.numDims == 2 && weight.dim(1) == in, "a weight does not fit the rows");
      args.checkSameType(weights[0], weight);
      out += weight.dim(0);
    }
    args.check(y.dim(-1) == out, "last dim does not fit the weights");
    args.check(rows == y.numRows(), "numbers of rows differ");
    args.checkSameType(x, y);
  }

  /// Whether each weight begins where the one before it ends, as parameters declared one after the other do:
  /// then they are one matrix of all their rows.
  bool areOne() const {
    for (size_t i = 1; i < weights.size(); i++) {
      if (weights[i - 1].as<char>() + weights[i - 1].bytes() != weights[i].as<char>()) return false;
    }
    return true;
  }
  CudaMatrix X() const { return {x.data, x.dtype, in}; }
  CudaMatrix W(size_t which) const { return {weights[which].data, weights[which].dtype, in}; }
  /// From the columns of this weight on.
  CudaMatrix Y(size_t which) const {
    int64_t column = 0;
    for (size_t i = 0; i < which; i++) column += weights[i].dim(0);
    return {y.as<char>() + column * static_cast<int64_t>(dtypeBytes(y.dtype)), y.dtype, out};
  }
};

/// Enqueues what `productOf(weight, columns)` gives: one product with all weights where that can be, else one
/// after the other.
template <typename ProductOf>
Napi::Value enqueueJoined(Args& args, const Joined& joined, bool asOne, ProductOf productOf) {
  if (asOne) {
    args.enqueueGemm(productOf(0, joined.out));
    return args.env().Undefined();
  }
  std::vector<std::function<void()>> products;
  for (size_t which = 0; which < joined.weights.size(); which++) {
    products.push_back(args.prepareGemm(productOf(which, joined.weights[which].dim(0))));
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
  return enqueueJoined(args, joined, joined.areOne(), [&](size_t which, int64_t columns) {
    return CudaGemm{false,     true,       joined.rows,     columns,
                    joined.in, joined.X(), joined.W(which), joined.Y(which)};
  });
}

Napi::Value bindLinearJoinedInputGradient(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const Weights weights = weightArguments(args, "first", "second", "third");
  const TensorRef dx = args.tensor("dx");
  const bool accumulate = args.flag("accumulate");
  const Joined joined(args, dx, weights, dy);
  return enqueueJoined(args, joined, joined.areOne(), [&](size_t which, int64_t columns) {
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
  const bool asOne = gradients.size() == 2 && joined.areOne() && accumulates[0] == accumulates[1];
  return enqueueJoined(args, joined, asOne, [&](size_t which, int64_t columns) {
    return CudaGemm{true,       false,           columns,           joined.in, joined.rows, joined.Y(which),
                    joined.X(), joined.W(which), accumulates[which]};
  });
}

}  // namespace longscan
