#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "normalizer.h"

namespace longscan {

namespace {

/// wide is narrow with one more column; on a GPU further ones may follow.
void checkWidths(Args& args, const TensorRef& narrow, const TensorRef& wide) {
  args.checkSameType(narrow, wide);
  args.check(narrow.numDims >= 1 && wide.numDims >= 1, "no rows");
  const int64_t extra = wide.dim(-1) - narrow.dim(-1);
  args.check(extra == 1 || (args.onGpu() && extra > 1), "not one column more");
  args.check(narrow.numRows() == wide.numRows(), "numbers of rows differ");
}

LongscanNormalizer gpuCall(const TensorRef& narrow, const TensorRef& wide) {
  return {narrow.numRows(), narrow.dim(-1), wide.dim(-1)};
}

Napi::Value bindWidenRows(Args& args) {
  args.stream();
  const TensorRef v = args.tensor("v");
  const double last = args.number("last");
  const TensorRef wide = args.tensor("wide");
  checkWidths(args, v, wide);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanWidenRows);
    const LongscanArray from = gpuArray(args, v), to = gpuArray(args, wide);
    args.enqueueLaunch([=, call = gpuCall(v, wide)](CUstream_st* stream) {
      return kernel(&call, from, static_cast<float>(last), to, stream);
    });
    return args.env().Undefined();
  }
  args.enqueueRanges(v.dtype, v.numRows(), v.dim(-1) + 8, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    widenRows(v.as<T>(), wide.as<T>(), v.dim(-1), static_cast<T>(last), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindNarrowRows(Args& args) {
  args.stream();
  const TensorRef wide = args.tensor("wide");
  const TensorRef narrow = args.tensor("narrow");
  checkWidths(args, narrow, wide);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanNarrowRows);
    const LongscanArray from = gpuArray(args, wide), to = gpuArray(args, narrow);
    args.enqueueLaunch(
        [=, call = gpuCall(narrow, wide)](CUstream_st* stream) { return kernel(&call, from, to, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(narrow.dtype, narrow.numRows(), narrow.dim(-1) + 8,
                     [=](auto zero, int64_t begin, int64_t end) {
                       using T = decltype(zero);
                       narrowRows(wide.as<T>(), narrow.as<T>(), narrow.dim(-1), begin, end);
                     });
  return args.env().Undefined();
}

Napi::Value bindNormalizeForward(Args& args) {
  args.stream();
  const TensorRef o = args.tensor("o");
  const double eps = args.number("eps");
  const TensorRef y = args.tensor("y");
  checkWidths(args, y, o);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanNormalizeForward);
    const LongscanArray from = gpuArray(args, o), to = gpuArray(args, y);
    args.enqueueLaunch([=, call = gpuCall(y, o)](CUstream_st* stream) {
      return kernel(&call, from, static_cast<float>(eps), to, stream);
    });
    return args.env().Undefined();
  }
  args.enqueueRanges(y.dtype, y.numRows(), y.dim(-1) + 8, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    normalizeForward(o.as<T>(), y.as<T>(), y.dim(-1), static_cast<T>(eps), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindNormalizeBackward(Args& args) {
  args.stream();
  const TensorRef dy = args.tensor("dy");
  const TensorRef o = args.tensor("o");
  const double eps = args.number("eps");
  const TensorRef outputGradient = args.tensor("do");
  checkWidths(args, dy, o);
  checkWidths(args, dy, outputGradient);
  args.check(o.dim(-1) == outputGradient.dim(-1), "o and its gradient differ in width");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanNormalizeBackward);
    const LongscanArray change = gpuArray(args, dy), from = gpuArray(args, o);
    const LongscanArray to = gpuArray(args, outputGradient);
    args.enqueueLaunch([=, call = gpuCall(dy, o)](CUstream_st* stream) {
      return kernel(&call, change, from, static_cast<float>(eps), to, stream);
    });
    return args.env().Undefined();
  }
  args.enqueueRanges(dy.dtype, dy.numRows(), dy.dim(-1) + 8, [=](auto zero, int64_t begin, int64_t end) {
    using T = decltype(zero);
    normalizeBackward(dy.as<T>(), o.as<T>(), outputGradient.as<T>(), dy.dim(-1), static_cast<T>(eps), begin,
                      end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_normalizer(Registry& registry) {
  registry.add("widenRows", 4, bindWidenRows);
  registry.add("narrowRows", 3, bindNarrowRows);
  registry.add("normalizeForward", 4, bindNormalizeForward);
  registry.add("normalizeBackward", 5, bindNormalizeBackward);
}

}  // namespace longscan
