#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "../../addon/args.h"
#include "cuda.h"
#include "grad_norm.h"

namespace longscan {

namespace {

/// Balanced binary tree over the blocks, whose shape depends on their number only.
double sumTree(const double* values, int64_t count) {
  if (count == 0) return 0;
  if (count == 1) return values[0];
  const int64_t half = (count + 1) / 2;
  return sumTree(values, half) + sumTree(values + half, count - half);
}

Napi::Value bindSumOfSquares(Args& args) {
  Stream& stream = args.stream();
  const TensorRef gradient = args.tensor("gradient");
  const TensorRef sum = args.tensor("sum", DType::f64);
  args.check(sum.numElements == 1, "sum is not one number");
  if (args.onGpu()) {
    args.check(gradient.dtype == DType::f32, "gradient is not f32");
    const int64_t count = gradient.numElements;
    void* const workspace =
        args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanSumOfSquaresWorkspaceBytes)(count));
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSumOfSquares);
    args.enqueueLaunch([=](CUstream_st* gpuStream) {
      return kernel(gradient.as<float>(), count, workspace, sum.as<double>(), gpuStream);
    });
    return args.env().Undefined();
  }
  ThreadPool& pool = stream.context().pool();
  dispatchFloat(args, gradient.dtype, [&](auto zero) {
    using T = decltype(zero);
    args.enqueue([=, &pool] {
      const int64_t numBlocks = (gradient.numElements + gradNormBlock - 1) / gradNormBlock;
      std::vector<double> blockSums(static_cast<size_t>(numBlocks));
      parallelFor(pool, numBlocks, gradNormBlock, [&](int64_t begin, int64_t end) {
        squaresOfBlocks(gradient.as<T>(), blockSums.data(), gradient.numElements, begin, end);
      });
      *sum.as<double>() = sumTree(blockSums.data(), numBlocks);
    });
  });
  return args.env().Undefined();
}

Napi::Value bindSumOfParts(Args& args) {
  args.stream();
  const TensorRef parts = args.tensor("parts", DType::f64);
  const TensorRef sum = args.tensor("sum", DType::f64);
  args.check(sum.numElements == 1, "sum is not one number");
  const int64_t count = parts.numElements;
  if (args.onGpu()) {
    void* const workspace =
        args.workspace(LONGSCAN_CUDA_FUNCTION(args, longscanSumOfPartsWorkspaceBytes)(count));
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanSumOfParts);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(parts.as<double>(), count, workspace, sum.as<double>(), stream);
    });
    return args.env().Undefined();
  }
  args.enqueue([=] { *sum.as<double>() = sumTree(parts.as<double>(), count); });
  return args.env().Undefined();
}

Napi::Value bindClipFactor(Args& args) {
  args.stream();
  const TensorRef sums = args.tensor("sums", DType::f64);
  const double maxNorm = args.number("maxNorm");
  const TensorRef previous = args.optionalTensor("previous");
  const TensorRef clip = args.tensor("clip", DType::f64);
  args.check(maxNorm > 0, "maxNorm is not above zero");
  args.check(clip.numElements == 3, "clip is not [3]");
  args.check(!previous || (previous.dtype == DType::f64 && previous.numElements == 3),
             "previous is not f64 [3]");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanClipFactor);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(sums.as<double>(), sums.numElements, maxNorm, previous.as<double>(), clip.as<double>(),
                    stream);
    });
    return args.env().Undefined();
  }
  args.enqueue([=] {
    const auto* const terms = sums.as<double>();
    const double norm = std::sqrt(std::accumulate(terms, terms + sums.numElements, 0.0));
    const bool applies = std::isfinite(norm) && (!previous || previous.as<double>()[2] == 1);
    auto* out = clip.as<double>();
    out[0] = applies ? std::min(1.0, maxNorm / (norm + 1e-6)) : 0.0;
    out[1] = norm;
    out[2] = applies ? 1.0 : 0.0;
  });
  return args.env().Undefined();
}

}  // namespace

void register_grad_norm(Registry& registry) {
  registry.add("sumOfSquares", 3, bindSumOfSquares);
  registry.add("sumOfParts", 3, bindSumOfParts);
  registry.add("clipFactor", 5, bindClipFactor);
}

}  // namespace longscan
