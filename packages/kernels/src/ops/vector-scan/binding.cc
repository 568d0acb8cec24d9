#include <cmath>
#include <string>
#include <vector>

#include "../../addon/args.h"
#include "vector_scan.h"

namespace longscan {

namespace {

/// The arguments that every function here begins with: stream, g, resets.
struct Common {
  Stream& stream;
  TensorRef g, resets;
  int64_t B, T, C;

  explicit Common(Args& args)
      : stream(args.stream()), g(args.tensor("g")), resets(args.optionalTensor("resets")) {
    args.check(g.numDims == 3, "g has not 3 dims");
    B = g.dim(0), T = g.dim(1), C = g.dim(2);
    args.check(!resets || (resets.dtype == DType::i32 && resets.numElements == B * T),
               "resets is not i32 [B, T]");
  }

  template <typename Real>
  VectorScan<Real> call(const TensorRef& x) const {
    return {B, T, C, x.as<Real>(), g.as<Real>(), resets.as<int32_t>()};
  }

  TensorRef tokens(Args& args, const char* name) const {
    return sized(args, args.tensor(name), B * T * C, name);
  }
  TensorRef optionalTokens(Args& args, const char* name) const {
    return sized(args, args.optionalTensor(name), B * T * C, name);
  }
  TensorRef state(Args& args, const char* name) const { return sized(args, args.tensor(name), B * C, name); }
  TensorRef optionalState(Args& args, const char* name) const {
    return sized(args, args.optionalTensor(name), B * C, name);
  }
  TensorRef sized(Args& args, const TensorRef& tensor, int64_t count, const char* name) const {
    if (!tensor) return tensor;
    args.checkSameType(g, tensor);
    args.check(tensor.numElements == count, std::string(name) + " has " + std::to_string(tensor.numElements) +
                                                " elements, expected " + std::to_string(count));
    return tensor;
  }
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const TensorRef x = common.tokens(args, "x");
  const TensorRef h0 = common.optionalState(args, "h0");
  const TensorRef h = common.optionalTokens(args, "h");
  const TensorRef state = common.state(args, "state");
  const TensorRef factor = common.optionalState(args, "factor");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.g.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const VectorScanForward<Real> task{common.call<Real>(x), h0.as<Real>(), h.as<Real>(), state.as<Real>(),
                                       nullptr};
    args.enqueue([task, factor, &pool] {
      const int64_t numChannels = task.call.B * task.call.C;
      std::vector<double> logSums(factor ? static_cast<size_t>(numChannels) : 0);
      VectorScanForward<Real> sweep = task;
      if (factor) sweep.logSums = logSums.data();
      parallelFor(pool, numChannels, task.call.T, [&](int64_t begin, int64_t end) {
        vectorScanForward(sweep, begin, end);
        if (!factor) return;
        for (int64_t i = begin; i < end; i++) {
          factor.as<Real>()[i] = static_cast<Real>(std::exp(logSums[static_cast<size_t>(i)]));
        }
      });
    });
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const TensorRef dh = common.tokens(args, "dh");
  const TensorRef dht = common.optionalState(args, "dht");
  const TensorRef h = common.optionalTokens(args, "h");
  const TensorRef h0 = common.optionalState(args, "h0");
  const TensorRef dx = common.optionalTokens(args, "dx");
  const TensorRef dg = common.optionalTokens(args, "dg");
  const TensorRef dh0 = common.state(args, "dh0");
  args.check(bool(h) == bool(dx) && bool(h) == bool(dg), "h, dx and dg go together");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.g.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const VectorScanBackward<Real> task{common.call<Real>(TensorRef{}),
                                        dh.as<Real>(),
                                        dht.as<Real>(),
                                        h.as<Real>(),
                                        h0.as<Real>(),
                                        dx.as<Real>(),
                                        dg.as<Real>(),
                                        dh0.as<Real>()};
    args.enqueue([task, &pool] {
      parallelFor(pool, task.call.B * task.call.C, task.call.T,
                  [&](int64_t begin, int64_t end) { vectorScanBackward(task, begin, end); });
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_vector_scan(Registry& registry) {
  registry.add("vectorScanForward", 8, bindForward);
  registry.add("vectorScanBackward", 10, bindBackward);
}

}  // namespace longscan
