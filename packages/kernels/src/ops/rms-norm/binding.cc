#include "../../addon/args.h"
#include "rms_norm.h"

namespace longscan {

namespace {

void checkRows(Args& args, const TensorRef& x, const TensorRef& weight, const TensorRef& rstd) {
  args.checkSameType(x, weight);
  args.checkSameType(x, rstd);
  args.check(x.numDims >= 1 && weight.numElements == x.dim(-1), "weight is not one row of x");
  args.check(rstd.numElements == x.numRows(), "rstd does not have one element per row");
}

Napi::Value bindRmsNormForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef weight = args.tensor("weight");
  const double eps = args.number("eps");
  const TensorRef y = args.tensor("y");
  const TensorRef rstd = args.tensor("rstd");
  checkRows(args, x, weight, rstd);
  args.checkSameType(x, y);
  args.check(y.numElements == x.numElements, "x and y differ in size");
  const int64_t cols = x.dim(-1);
  args.enqueueRanges(x.dtype, x.numRows(), 2 * cols, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    rmsNormForward(x.as<T>(), weight.as<T>(), y.as<T>(), rstd.as<T>(), cols, static_cast<T>(eps), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindRmsNormBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef x = args.tensor("x");
  const TensorRef weight = args.tensor("weight");
  const TensorRef rstd = args.tensor("rstd");
  const TensorRef dx = args.tensor("dx");
  const TensorRef dwBlocks = args.optionalTensor("dwBlocks");
  checkRows(args, x, weight, rstd);
  args.checkSameType(x, dy);
  args.checkSameType(x, dx);
  args.check(dy.numElements == x.numElements && dx.numElements == x.numElements,
             "x, dy and dx differ in size");
  const int64_t numBlocks = (x.numRows() + rmsNormBlockRows - 1) / rmsNormBlockRows;
  if (dwBlocks) {
    args.checkSameType(x, dwBlocks);
    args.check(dwBlocks.numElements == numBlocks * x.dim(-1), "dwBlocks is not [blocks, cols]");
  }
  const int64_t cols = x.dim(-1);
  args.enqueueRanges(x.dtype, numBlocks, 4 * cols * rmsNormBlockRows,
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       rmsNormBackward(dy.as<T>(), x.as<T>(), weight.as<T>(), rstd.as<T>(), dx.as<T>(),
                                       dwBlocks.as<T>(), x.numRows(), cols, begin, end);
                     });
  return args.env().Undefined();
}

}  // namespace

void register_rms_norm(Registry& registry) {
  registry.add("rmsNormForward", 6, bindRmsNormForward);
  registry.add("rmsNormBackward", 7, bindRmsNormBackward);
}

}  // namespace longscan
