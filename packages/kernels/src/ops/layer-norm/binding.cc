#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "layer_norm.h"

namespace longscan {

namespace {

/// What belongs to no single token has x's type; on a GPU it is f32, whatever x is.
void checkWideType(Args& args, const TensorRef& x, const TensorRef& tensor, const char* name) {
  if (args.onGpu()) {
    checkF32(args, tensor, tensor.numElements, name);
  } else {
    args.checkSameType(x, tensor);
  }
}

/// weight [groups, cols] beside x [.., cols]; gives the number of groups.
int64_t checkGroups(Args& args, const TensorRef& x, const TensorRef& weight, const TensorRef& stats) {
  checkWideType(args, x, weight, "weight");
  checkWideType(args, x, stats, "stats");
  args.check(
      x.numDims >= 1 && x.dim(-1) >= 1 && weight.numElements >= 1 && weight.numElements % x.dim(-1) == 0,
      "weight is not [groups, cols]");
  const int64_t groups = weight.numElements / x.dim(-1);
  args.check(x.numRows() % groups == 0, "x does not have whole groups of rows");
  args.check(stats.numElements == 2 * x.numRows(), "stats is not [rows, 2]");
  return groups;
}

LongscanLayerNorm onGpu(Args& args, const TensorRef& x, const TensorRef& weight, const TensorRef& bias,
                        int64_t groups, double eps) {
  checkHeldRow(args, x, 4096);
  checkAligned(args, x);
  return {x.numRows() / groups,    groups, x.dim(-1),          elementArgument(args, x),
          static_cast<float>(eps), x.data, weight.as<float>(), bias.as<float>()};
}

Napi::Value bindLayerNormForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef weight = args.tensor("weight");
  const TensorRef bias = args.optionalTensor("bias");
  const double eps = args.number("eps");
  const TensorRef y = args.sizedTensor("y", x, x.numElements);
  const TensorRef stats = args.tensor("stats");
  const int64_t groups = checkGroups(args, x, weight, stats);
  if (bias) {
    checkWideType(args, x, bias, "bias");
    args.check(bias.numElements == weight.numElements, "weight and bias differ in size");
  }
  if (args.onGpu()) {
    const LongscanLayerNorm call = onGpu(args, x, weight, bias, groups, eps);
    checkAligned(args, y);
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanLayerNormForward);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, y.data, stats.as<float>(), stream); });
    return args.env().Undefined();
  }
  const int64_t cols = x.dim(-1);
  args.enqueueRanges(x.dtype, x.numRows(), 3 * cols, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    layerNormForward(x.as<T>(), weight.as<T>(), bias.as<T>(), y.as<T>(), stats.as<T>(), groups, cols,
                     static_cast<T>(eps), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindLayerNormBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef x = args.sizedTensor("x", dy, dy.numElements);
  const TensorRef weight = args.tensor("weight");
  const TensorRef stats = args.tensor("stats");
  const TensorRef dx = args.sizedTensor("dx", x, x.numElements);
  const TensorRef dwBlocks = args.optionalTensor("dwBlocks");
  const TensorRef dbBlocks = args.optionalTensor("dbBlocks");
  const int64_t groups = checkGroups(args, x, weight, stats);
  if (args.onGpu()) {
    const LongscanLayerNorm call = onGpu(args, x, weight, {}, groups, 0);
    for (const TensorRef& tensor : {dy, dx}) checkAligned(args, tensor);
    const int64_t shares = checkShares(args, dwBlocks, weight.numElements);
    const int64_t biasShares = checkShares(args, dbBlocks, weight.numElements);
    args.check(!dwBlocks || !dbBlocks || shares == biasShares, "dwBlocks and dbBlocks differ in size");
    const LongscanLayerNormBackward io{dy.data,
                                       stats.as<float>(),
                                       dx.data,
                                       dwBlocks.as<float>(),
                                       dbBlocks.as<float>(),
                                       dwBlocks ? shares : biasShares};
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanLayerNormBackward);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, &io, stream); });
    return args.env().Undefined();
  }
  const int64_t positions = x.numRows() / groups;
  const int64_t numBlocks = (positions + layerNormBlockRows - 1) / layerNormBlockRows;
  for (const TensorRef& blocks : {dwBlocks, dbBlocks}) {
    if (!blocks) continue;
    args.checkSameType(x, blocks);
    args.check(blocks.numElements == numBlocks * weight.numElements, "blocks are not [blocks, groups, cols]");
  }
  const int64_t cols = x.dim(-1);
  args.enqueueRanges(
      x.dtype, numBlocks, 5 * cols * groups * layerNormBlockRows, [=](auto zero, int64_t begin, int64_t end) {
        using T = decltype(zero);
        layerNormBackward(dy.as<T>(), x.as<T>(), weight.as<T>(), stats.as<T>(), dx.as<T>(), dwBlocks.as<T>(),
                          dbBlocks.as<T>(), positions, groups, cols, begin, end);
      });
  return args.env().Undefined();
}

}  // namespace

void register_layer_norm(Registry& registry) {
  registry.add("layerNormForward", 7, bindLayerNormForward);
  registry.add("layerNormBackward", 8, bindLayerNormBackward);
}

}  // namespace longscan
