#include "../../addon/args.h"
#include "feature_map.h"

namespace longscan {

namespace {

/// The arguments that both passes begin with.
struct Common {
  Stream& stream;
  bool hasLinear;
  double linear, square, cross;
  TensorRef x;

  explicit Common(Args& args)
      : stream(args.stream()),
        hasLinear(args.flag("hasLinear")),
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

  TensorRef features(Args& args, const char* name) const {
    const TensorRef tensor = args.tensor(name);
    args.checkSameType(x, tensor);
    args.check(tensor.numElements == x.numRows() * size(),
               std::string(name) + " is not one row of features per row of x");
    return tensor;
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
  const Common c(args);
  const TensorRef y = c.features(args, "y");
  ThreadPool& pool = c.stream.context().pool();
  dispatchFloat(args, c.x.dtype, [&](auto zero) {
    using Real = decltype(zero);
    args.enqueue([=, map = c.map<Real>(), &pool] {
      parallelFor(pool, c.x.numRows(), c.size(), [&](int64_t begin, int64_t end) {
        featureMapForward(map, c.x.as<Real>(), y.as<Real>(), begin, end);
      });
    });
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common c(args);
  const TensorRef dy = c.features(args, "dy");
  const TensorRef dx = args.tensor("dx");
  args.checkSameType(c.x, dx);
  args.check(dx.numElements == c.x.numElements, "x and dx differ in size");
  ThreadPool& pool = c.stream.context().pool();
  dispatchFloat(args, c.x.dtype, [&](auto zero) {
    using Real = decltype(zero);
    args.enqueue([=, map = c.map<Real>(), &pool] {
      parallelFor(pool, c.x.numRows(), 2 * c.size(), [&](int64_t begin, int64_t end) {
        featureMapBackward(map, c.x.as<Real>(), dy.as<Real>(), dx.as<Real>(), begin, end);
      });
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_feature_map(Registry& registry) {
  registry.add("featureMapForward", 7, bindForward);
  registry.add("featureMapBackward", 8, bindBackward);
}

}  // namespace longscan
