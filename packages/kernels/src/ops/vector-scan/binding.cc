#include <cmath>
#include <vector>

#include "../../addon/args.h"
#include "bind_cuda.h"
#include "vector_scan.h"

namespace longscan {

namespace {

/// The arguments that every function here begins with, after the stream: g, resets.
struct Common {
  TensorRef g, resets;
  int64_t B, T, C;

  explicit Common(Args& args) : g(args.tensor("g")), resets(args.optionalTensor("resets")) {
    args.check(g.numDims == 3, "g has not 3 dims");
    B = g.dim(0), T = g.dim(1), C = g.dim(2);
    args.checkResets(resets, B, T);
  }

  template <typename Real>
  VectorScan<Real> call(const TensorRef& x) const {
    return {B, T, C, x.as<Real>(), g.as<Real>(), resets.as<int32_t>()};
  }
};

/// The sweep over flat channels [begin, end), and their decays from the sums of the logarithms.
template <typename Real>
void sweepForward(VectorScanForward<Real> task, Real* factor, int64_t begin, int64_t end) {
  std::vector<double> logSums(factor == nullptr ? 0 : static_cast<size_t>(end - begin));
  if (factor != nullptr) task.logSums = logSums.data();
  vectorScanForward(task, begin, end);
  for (size_t i = 0; i < logSums.size(); i++) {
    factor[begin + static_cast<int64_t>(i)] = static_cast<Real>(std::exp(logSums[i]));
  }
}

Napi::Value bindForward(Args& args) {
  args.stream();
  if (args.onGpu()) return bindVectorScanForwardOnGpu(args);
  const Common common(args);
  const int64_t numChannels = common.B * common.C;
  const TensorRef x = args.sizedTensor("x", common.g, common.g.numElements);
  const TensorRef h0 = args.optionalSizedTensor("h0", common.g, numChannels);
  const TensorRef h = args.optionalSizedTensor("h", common.g, common.g.numElements);
  const TensorRef state = args.sizedTensor("state", common.g, numChannels);
  const TensorRef factor = args.optionalSizedTensor("factor", common.g, numChannels);
  args.enqueueRanges(common.g.dtype, numChannels, common.T, [=](auto zero, int64_t begin, int64_t end) {
    using Real = decltype(zero);
    const VectorScanForward<Real> task{common.call<Real>(x), h0.as<Real>(), h.as<Real>(), state.as<Real>(),
                                       nullptr};
    sweepForward(task, factor.as<Real>(), begin, end);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  args.stream();
  if (args.onGpu()) return bindVectorScanBackwardOnGpu(args);
  const Common common(args);
  const int64_t numChannels = common.B * common.C;
  const TensorRef dh = args.sizedTensor("dh", common.g, common.g.numElements);
  const TensorRef dht = args.optionalSizedTensor("dht", common.g, numChannels);
  const TensorRef h = args.optionalSizedTensor("h", common.g, common.g.numElements);
  const TensorRef h0 = args.optionalSizedTensor("h0", common.g, numChannels);
  const TensorRef dx = args.optionalSizedTensor("dx", common.g, common.g.numElements);
  const TensorRef dg = args.optionalSizedTensor("dg", common.g, common.g.numElements);
  const TensorRef dh0 = args.sizedTensor("dh0", common.g, numChannels);
  args.check(bool(h) == bool(dx) && bool(h) == bool(dg), "h, dx and dg go together");
  args.enqueueRanges(common.g.dtype, numChannels, common.T, [=](auto zero, int64_t begin, int64_t end) {
    using Real = decltype(zero);
    const VectorScanBackward<Real> task{common.call<Real>(TensorRef{}),
                                        dh.as<Real>(),
                                        dht.as<Real>(),
                                        h.as<Real>(),
                                        h0.as<Real>(),
                                        dx.as<Real>(),
                                        dg.as<Real>(),
                                        dh0.as<Real>()};
    vectorScanBackward(task, begin, end);
  });
  return args.env().Undefined();
}

}  // namespace

void register_vector_scan(Registry& registry) {
  registry.add("vectorScanForward", 8, bindForward);
  registry.add("vectorScanBackward", 10, bindBackward);
}

}  // namespace longscan
