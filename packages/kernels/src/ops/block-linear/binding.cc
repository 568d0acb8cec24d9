#include "../../addon/args.h"
#include "block_linear.h"

namespace longscan {

namespace {

/// The arguments of every function here: stream, x or its gradient, weight or its gradient, y or its
/// gradient.
struct Operands {
  Stream& stream;
  TensorRef x, weight, y;
  BlockLinear shape;

  explicit Operands(Args& args)
      : stream(args.stream()), x(args.tensor("x")), weight(args.tensor("weight")), y(args.tensor("y")) {
    args.check(weight.numDims == 3, "weight is not [G, out, in]");
    const int64_t G = weight.dim(0), out = weight.dim(1), in = weight.dim(2);
    args.check(G >= 1, "there is no block");
    args.check(in >= 1 && out >= 1 && in <= 4096 && out <= 4096, "block sizes are not between 1 and 4096");
    const int64_t numRows = x.numElements / (G * in);
    args.checkSize(x, weight, numRows * G * in, "x");
    args.checkSize(y, weight, numRows * G * out, "y");
    shape = {numRows, G, static_cast<int>(in), static_cast<int>(out)};
  }

  /// Enqueues `body(zero, begin, end, scratch)` for the blocks, a fixed share per thread.
  template <typename Body>
  void enqueue(Args& args, Body body) const {
    ThreadPool& pool = stream.context().pool();
    dispatchFloat(args, weight.dtype, [&](auto zero) {
      args.enqueue([=, shape = shape, &pool] {
        runWithScratch(pool, shape.G, blockLinearScratchBytes(shape, sizeof(zero)),
                       [&](int64_t begin, int64_t end, void* scratch) { body(zero, begin, end, scratch); });
      });
    });
  }
};

Napi::Value bindForward(Args& args) {
  const Operands operands(args);
  operands.enqueue(args, [x = operands.x, weight = operands.weight, y = operands.y, shape = operands.shape](
                             auto zero, int64_t begin, int64_t end, void* scratch) {
    using Real = decltype(zero);
    blockLinearForward(shape, x.as<Real>(), weight.as<Real>(), y.as<Real>(), begin, end, scratch);
  });
  return args.env().Undefined();
}

Napi::Value bindInputGrad(Args& args) {
  const Operands operands(args);
  operands.enqueue(args, [dx = operands.x, weight = operands.weight, dy = operands.y, shape = operands.shape](
                             auto zero, int64_t begin, int64_t end, void* scratch) {
    using Real = decltype(zero);
    blockLinearInputGrad(shape, dy.as<Real>(), weight.as<Real>(), dx.as<Real>(), begin, end, scratch);
  });
  return args.env().Undefined();
}

Napi::Value bindWeightGrad(Args& args) {
  const Operands operands(args);
  const bool accumulate = args.flag("accumulate");
  operands.enqueue(args, [=, x = operands.x, dw = operands.weight, dy = operands.y, shape = operands.shape](
                             auto zero, int64_t begin, int64_t end, void* scratch) {
    using Real = decltype(zero);
    blockLinearWeightGrad(shape, x.as<Real>(), dy.as<Real>(), dw.as<Real>(), accumulate, begin, end, scratch);
  });
  return args.env().Undefined();
}

}  // namespace

void register_block_linear(Registry& registry) {
  registry.add("blockLinearForward", 4, bindForward);
  registry.add("blockLinearInputGrad", 4, bindInputGrad);
  registry.add("blockLinearWeightGrad", 5, bindWeightGrad);
}

}  // namespace longscan
