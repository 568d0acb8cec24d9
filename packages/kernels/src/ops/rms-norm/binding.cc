#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "rms_norm.h"

namespace longscan {

namespace {

/// Rows, weights and what is kept of each row, of either pass. On a GPU what belongs to no single token is
/// f32, whatever the rows are.
void checkRows(Args& args, const TensorRef& x, const TensorRef& weight, const TensorRef& rstd) {
  args.check(x.numDims >= 1 && x.dim(-1) >= 1, "rows without columns");
  args.check(!weight || weight.numElements == x.dim(-1), "weight is not one row of x");
  args.check(rstd.numElements == x.numRows(), "rstd does not have one element per row");
  for (const TensorRef& one : {weight, rstd}) {
    if (!one) continue;
    if (args.onGpu()) {
      checkF32(args, one, one.numElements, "what is not of single tokens");
    } else {
      args.checkSameType(x, one);
    }
  }
}

LongscanRmsNorm onGpu(Args& args, const TensorRef& x, const TensorRef& weight, double eps) {
  checkHeldRow(args, x);
  return {x.numRows(), x.dim(-1), elementArgument(args, x), static_cast<float>(eps), weight.as<float>()};
}

Napi::Value bindRmsNormForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef branch = args.optionalSizedTensor("branch", x, x.numElements);
  const TensorRef weight = args.optionalTensor("weight");
  const double eps = args.number("eps");
  const TensorRef sum = args.optionalSizedTensor("sum", x, x.numElements);
  const TensorRef y = args.sizedTensor("y", x, x.numElements);
  const TensorRef rstd = args.tensor("rstd");
  args.check(bool(branch) == bool(sum), "branch and sum go together");
  checkRows(args, x, weight, rstd);
  if (args.onGpu()) {
    const LongscanRmsNorm call = onGpu(args, x, weight, eps);
    for (const TensorRef& tensor : {x, branch, sum, y}) checkAligned(args, tensor);
    const LongscanRmsNormForward io{x.data, branch.data, sum.data, y.data, rstd.as<float>()};
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanRmsNormForward);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, &io, stream); });
    return args.env().Undefined();
  }
  const int64_t cols = x.dim(-1);
  args.enqueueRanges(x.dtype, x.numRows(), 2 * cols, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    const RmsNormForward<T> call{x.as<T>(), branch.as<T>(), weight.as<T>(), sum.as<T>(),
                                 y.as<T>(), rstd.as<T>(),   cols,           static_cast<T>(eps)};
    rmsNormForward(call, begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindRmsNormBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef x = args.sizedTensor("x", dy, dy.numElements);
  const TensorRef weight = args.optionalTensor("weight");
  const TensorRef rstd = args.tensor("rstd");
  const TensorRef dSum = args.optionalSizedTensor("dSum", x, x.numElements);
  const TensorRef dx = args.sizedTensor("dx", x, x.numElements);
  const TensorRef dwBlocks = args.optionalTensor("dwBlocks");
  const TensorRef y = args.optionalSizedTensor("y", x, x.numElements);
  checkRows(args, x, weight, rstd);
  args.check(!dwBlocks || weight, "no weight for dwBlocks");
  const int64_t cols = x.dim(-1);
  if (args.onGpu()) {
    const LongscanRmsNorm call = onGpu(args, x, weight, 0);
    const int64_t shares = checkShares(args, dwBlocks, cols);
    for (const TensorRef& tensor : {dy, x, dSum, dx, y}) checkAligned(args, tensor);
    const LongscanRmsNormBackward io{dy.data, x.data, rstd.as<float>(),     dSum.data,
                                     dx.data, y.data, dwBlocks.as<float>(), shares};
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanRmsNormBackward);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, &io, stream); });
    return args.env().Undefined();
  }
  const int64_t numBlocks = (x.numRows() + rmsNormBlockRows - 1) / rmsNormBlockRows;
  args.checkSize(dwBlocks, x, numBlocks * cols, "dwBlocks");
  args.enqueueRanges(x.dtype, numBlocks, 4 * cols * rmsNormBlockRows,
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       const RmsNormBackward<T> call{dy.as<T>(),   x.as<T>(),  weight.as<T>(),   rstd.as<T>(),
                                                     dSum.as<T>(), dx.as<T>(), dwBlocks.as<T>(), y.as<T>(),
                                                     x.numRows(),  cols};
                       rmsNormBackward(call, begin, end);
                     });
  return args.env().Undefined();
}

}  // namespace

void register_rms_norm(Registry& registry) {
  registry.add("rmsNormForward", 8, bindRmsNormForward);
  registry.add("rmsNormBackward", 9, bindRmsNormBackward);
}

}  // namespace longscan
