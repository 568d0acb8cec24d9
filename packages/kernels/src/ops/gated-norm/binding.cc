#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "gated_norm.h"

namespace longscan {

namespace {

/// The arguments that both passes begin with: stream, x, gate, weight, isSilu.
struct Common {
  TensorRef x, gate, weight;
  bool isSilu;

  explicit Common(Args& args) {
    args.stream();
    x = args.tensor("x");
    gate = args.sizedTensor("gate", x, x.numElements);
    weight = args.tensor("weight");
    isSilu = args.flag("isSilu");
    args.check(x.numDims >= 1 && x.dim(-1) >= 1, "rows without columns");
    checkStatistics(args, weight, x.dim(-1), "weight");
  }

  /// What belongs to no single token is f32 on a GPU, whatever the rows are.
  void checkStatistics(Args& args, const TensorRef& tensor, int64_t count, const char* name) const {
    if (args.onGpu()) {
      checkF32(args, tensor, count, name);
    } else {
      args.checkSize(tensor, x, count, name);
    }
  }

  LongscanGatedNorm onGpu(Args& args, double eps) const {
    checkHeldRow(args, x);
    for (const TensorRef& tensor : {x, gate}) checkAligned(args, tensor);
    return {x.numRows(), x.dim(-1), elementArgument(args, x), isSilu, static_cast<float>(eps),
            x.data,      gate.data, weight.as<float>()};
  }
  template <typename T>
  GatedNorm<T> onCpu(const TensorRef& rstd, double eps) const {
    return {x.as<T>(),   gate.as<T>(), weight.as<T>(),      rstd.as<T>(),
            x.numRows(), x.dim(-1),    static_cast<T>(eps), isSilu};
  }
};

Napi::Value bindGatedNormForward(Args& args) {
  const Common common(args);
  const double eps = args.number("eps");
  const TensorRef y = args.sizedTensor("y", common.x, common.x.numElements);
  const TensorRef rstd = args.tensor("rstd");
  common.checkStatistics(args, rstd, common.x.numRows(), "rstd");
  if (args.onGpu()) {
    const LongscanGatedNorm call = common.onGpu(args, eps);
    checkAligned(args, y);
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanGatedNormForward);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, y.data, rstd.as<float>(), stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(y.dtype, y.numRows(), 10 * y.dim(-1), [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    gatedNormForward(common.onCpu<T>(rstd, eps), y.as<T>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindGatedNormBackward(Args& args) {
  const Common common(args);
  const int64_t rows = common.x.numRows(), cols = common.x.dim(-1);
  const TensorRef dy = args.sizedTensor("dy", common.x, common.x.numElements);
  const TensorRef rstd = args.tensor("rstd");
  const TensorRef dx = args.sizedTensor("dx", common.x, common.x.numElements);
  const TensorRef dGate = args.sizedTensor("dGate", common.x, common.x.numElements);
  const TensorRef dwBlocks = args.optionalTensor("dwBlocks");
  const TensorRef y = args.optionalSizedTensor("y", common.x, common.x.numElements);
  common.checkStatistics(args, rstd, rows, "rstd");
  if (args.onGpu()) {
    const LongscanGatedNorm call = common.onGpu(args, 0);
    for (const TensorRef& tensor : {dy, dx, dGate, y}) checkAligned(args, tensor);
    const LongscanGatedNormBackward io{dy.data,
                                       rstd.as<float>(),
                                       dx.data,
                                       dGate.data,
                                       y.data,
                                       dwBlocks.as<float>(),
                                       checkShares(args, dwBlocks, cols)};
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanGatedNormBackward);
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&call, &io, stream); });
    return args.env().Undefined();
  }
  const int64_t numBlocks = (rows + gatedNormBlockRows - 1) / gatedNormBlockRows;
  args.checkSize(dwBlocks, common.x, numBlocks * cols, "dwBlocks");
  args.enqueueRanges(
      dy.dtype, numBlocks, 20 * cols * gatedNormBlockRows, [=](auto zero, int64_t begin, int64_t end) {
        using T = decltype(zero);
        const GatedNormGradients<T> io{dy.as<T>(), dx.as<T>(), dGate.as<T>(), dwBlocks.as<T>(), y.as<T>()};
        gatedNormBackward(common.onCpu<T>(rstd, 0), io, begin, end);
      });
  return args.env().Undefined();
}

}  // namespace

void register_gated_norm(Registry& registry) {
  registry.add("gatedNormForward", 8, bindGatedNormForward);
  registry.add("gatedNormBackward", 11, bindGatedNormBackward);
}

}  // namespace longscan
