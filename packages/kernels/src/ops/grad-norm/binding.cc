#include <algorithm>
#include <cmath>
#include <vector>

#include "../../addon/args.h"
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

Napi::Value bindClipFactor(Args& args) {
  args.stream();
  const TensorRef sum = args.tensor("sum", DType::f64);
  const double maxNorm = args.number("maxNorm");
  const TensorRef clip = args.tensor("clip", DType::f64);
  args.check(maxNorm > 0, "maxNorm is not above zero");
  args.check(sum.numElements == 1 && clip.numElements == 3, "sum is not [1] or clip not [3]");
  args.enqueue([=] {
    const double norm = std::sqrt(*sum.as<double>());
    const bool finite = std::isfinite(norm);
    auto* out = clip.as<double>();
    out[0] = finite ? std::min(1.0, maxNorm / (norm + 1e-6)) : 0.0;
    out[1] = norm;
    out[2] = finite ? 1.0 : 0.0;
  });
  return args.env().Undefined();
}

}  // namespace

void register_grad_norm(Registry& registry) {
  registry.add("sumOfSquares", 3, bindSumOfSquares);
  registry.add("clipFactor", 4, bindClipFactor);
}

}  // namespace longscan
