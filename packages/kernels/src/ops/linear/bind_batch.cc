#include "bind_batch.h"

#include <vector>

namespace longscan {

namespace {

/// Elements from each weight to the next where that is the same for all of them, as it is for any two and for
/// parameters of one shape that were declared one after the other; 0: it is not, or the weights go backwards.
int64_t strideOf(const std::vector<TensorRef>& weights) {
  const auto bytesTo = [&](size_t which) {
    return weights[which].as<char>() - weights[which - 1].as<char>();
  };
  for (size_t i = 2; i < weights.size(); i++) {
    if (bytesTo(i) != bytesTo(1)) return 0;
  }
  const int64_t stride = bytesTo(1) / static_cast<int64_t>(dtypeBytes(weights[0].dtype));
  return stride >= weights[0].numElements ? stride : 0;
}

}  // namespace

Napi::Value bindLinearBatchForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  std::vector<TensorRef> weights = {args.tensor("first"), args.tensor("second")};
  if (const TensorRef third = args.optionalTensor("third")) weights.push_back(third);
  const TensorRef y = args.tensor("y");
  const auto count = static_cast<int64_t>(weights.size());
  const TensorRef& first = weights[0];
  args.check(args.onGpu(), "only GPUs multiply by several weights at once");
  args.check(first.numDims == 2 && x.dim(-1) == first.dim(1), "x does not fit the weights");
  for (const TensorRef& weight : weights) {
    args.checkSameType(first, weight);
    args.check(weight.numDims == 2 && weight.dim(0) == first.dim(0) && weight.dim(1) == first.dim(1),
               "the weights differ in shape");
  }
  const int64_t rows = x.numRows(), in = first.dim(1), out = first.dim(0);
  args.checkSize(y, x, count * rows * out, "y");
  const auto product = [&](int64_t which) {
    const CudaMatrix weight{weights[which].data, first.dtype, in};
    const CudaMatrix result{y.as<char>() + which * rows * out * static_cast<int64_t>(dtypeBytes(y.dtype)),
                            y.dtype, out};
    return CudaGemm{false, true, rows, out, in, {x.data, x.dtype, in}, weight, result};
  };
  const int64_t stride = strideOf(weights);
  if (stride != 0) {
    CudaGemm all = product(0);
    all.b.stride = stride;
    all.c.stride = rows * out;
    all.batch = count;
    args.enqueueGemm(all);
    return args.env().Undefined();
  }
  std::vector<std::function<void()>> products;
  for (int64_t which = 0; which < count; which++) products.push_back(args.prepareGemm(product(which)));
  args.enqueueLaunch([=](CUstream_st*) {
    for (const auto& launch : products) launch();
    return 0;
  });
  return args.env().Undefined();
}

}  // namespace longscan
