#include "../../addon/args.h"
#include "layer_norm.h"

namespace longscan {

namespace {

/// weight [groups, cols] beside x [.., cols]; gives the number of groups.
int64_t checkGroups(Args& args, const TensorRef& x, const TensorRef& weight, const TensorRef& stats) {
  args.checkSameType(x, weight);
  args.checkSameType(x, stats);
  args.check(
      x.numDims >= 1 && x.dim(-1) >= 1 && weight.numElements >= 1 && weight.numElements % x.dim(-1) == 0,
      "weight is not [groups, cols]");
  const int64_t groups = weight.numElements / x.dim(-1);
  args.check(x.numRows() % groups == 0, "x does not have whole groups of rows");
  args.check(stats.numElements == 2 * x.numRows(), "stats is not [rows, 2]");
  return groups;
}

Napi::Value bindLayerNormForward(Args& args) {
  args.stream();
  const TensorRef x = args.tensor("x");
  const TensorRef weight = args.tensor("weight");
  const TensorRef bias = args.optionalTensor("bias");
  const double eps = args.number("eps");
  const TensorRef y = args.tensor("y");
  const TensorRef stats = args.tensor("stats");
  const int64_t groups = checkGroups(args, x, weight, stats);
  args.checkSameType(x, y);
  args.check(y.numElements == x.numElements, "x and y differ in size");
  if (bias) {
    args.checkSameType(x, bias);
    args.check(bias.numElements == weight.numElements, "weight and bias differ in size");
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
  const TensorRef x = args.tensor("x");
  const TensorRef weight = args.tensor("weight");
  const TensorRef stats = args.tensor("stats");
  const TensorRef dx = args.tensor("dx");
  const TensorRef dwBlocks = args.optionalTensor("dwBlocks");
  const TensorRef dbBlocks = args.optionalTensor("dbBlocks");
  const int64_t groups = checkGroups(args, x, weight, stats);
  args.checkSameType(x, dy);
  args.checkSameType(x, dx);
  args.check(dy.numElements == x.numElements && dx.numElements == x.numElements,
             "x, dy and dx differ in size");
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
