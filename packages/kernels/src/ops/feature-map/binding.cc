#include "../../addon/gpu_args.h"
#include "cuda.h"
#include "feature_map.h"

namespace longscan {

namespace {

/// The arguments that both passes have after the stream.
struct Common {
  bool hasLinear;
  double linear, square, cross;
  TensorRef x;

  explicit Common(Args& args)
      : hasLinear(args.flag("hasLinear")),
        linear(args.number("linear")),
        square(args.number("square")),
        cross(args.number("cross")),
        x(args.tensor("x")) {
    args.check(x.numDims >= 1 && x.dim(-1) >= 1 && x.dim(-1) <= 4096, "x is not rows of 1 to 4096 elements");
  }

  int64_t size() const {
    const int64_t K = x.dim(-1);
    return (hasLinear ? 1 + K : 0) + K * (K + 1) / 2;
  }

  /// On a GPU rows may be longer: zeros follow.
  TensorRef features(Args& args, const char* name) const {
    const TensorRef result = args.tensor(name);
    args.check(result.numDims >= 1 && (args.onGpu() ? result.dim(-1) >= size() : result.dim(-1) == size()),
               [&] { return std::string(name) + " has not the features of x"; });
    args.checkSize(result, x, x.numRows() * result.dim(-1), name);
    return result;
  }

  LongscanFeatureMap gpuCall(const TensorRef& features) const {
    return {x.numRows(),
            x.dim(-1),
            size(),
            features.dim(-1),
            hasLinear,
            static_cast<float>(linear),
            static_cast<float>(square),
            static_cast<float>(cross)};
  }

  template <typename Real>
  FeatureMap<Real> map() const {
    return {x.dim(-1),
            size(),
            hasLinear,
            static_cast<Real>(linear),
            static_cast<Real>(square),
            static_cast<Real>(cross)};
  }
};

Napi::Value bindForward(Args& args) {
  args.stream();
  const Common c(args);
  const TensorRef y = c.features(args, "y");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanFeatureMap);
    const LongscanArray from = gpuArray(args, c.x), to = gpuArray(args, y);
    args.enqueueLaunch(
        [=, call = c.gpuCall(y)](CUstream_st* stream) { return kernel(&call, from, to, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(c.x.dtype, c.x.numRows(), c.size(), [=](auto zero, int64_t begin, int64_t end) {
    using Real = decltype(zero);
    featureMapForward(c.map<Real>(), c.x.as<Real>(), y.as<Real>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  args.stream();
  const Common c(args);
  const TensorRef dy = c.features(args, "dy");
  const TensorRef dx = args.sizedTensor("dx", c.x, c.x.numElements);
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanFeatureMapBackward);
    const LongscanArray from = gpuArray(args, c.x), change = gpuArray(args, dy), to = gpuArray(args, dx);
    args.enqueueLaunch(
        [=, call = c.gpuCall(dy)](CUstream_st* stream) { return kernel(&call, from, change, to, stream); });
    return args.env().Undefined();
  }
  args.enqueueRanges(c.x.dtype, c.x.numRows(), 2 * c.size(), [=](auto zero, int64_t begin, int64_t end) {
    using Real = decltype(zero);
    featureMapBackward(c.map<Real>(), c.x.as<Real>(), dy.as<Real>(), dx.as<Real>(), begin, end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_feature_map(Registry& registry) {
  registry.add("featureMapForward", 7, bindForward);
  registry.add("featureMapBackward", 8, bindBackward);
}

}  // namespace longscan
