#include <string>

#include "../../addon/args.h"
#include "../../core/run_lane_blocks.h"
#include "lti_scan.h"

namespace longscan {

namespace {

/// The arguments that every function here begins with: stream, complex, u, logLambda, w, resets.
struct Common {
  Stream& stream;
  bool complex;
  TensorRef u, logLambda, w, resets;
  int64_t B, T, C, N;

  explicit Common(Args& args)
      : stream(args.stream()),
        complex(args.flag("complex")),
        u(args.tensor("u")),
        logLambda(args.tensor("logLambda")),
        w(args.tensor("w")),
        resets(args.optionalTensor("resets")) {
    args.check(u.numDims == 3 && logLambda.numDims == 3, "u or logLambda has not 3 dims");
    B = u.dim(0), T = u.dim(1), C = logLambda.dim(0), N = logLambda.dim(1);
    args.check(u.dim(2) == (complex ? 2 * C : C), "u has not the channels of logLambda");
    args.check(logLambda.dim(2) == 2 && N >= 1 && N <= 1024, "logLambda is not [C, 1 to 1024, 2]");
    args.checkSameType(u, logLambda);
    perChannel(args, w, "w");
    args.check(!resets || (resets.dtype == DType::i32 && resets.numElements == B * T),
               "resets is not i32 [B, T]");
  }

  template <typename Real>
  LtiScan<Real> call() const {
    return {B, T, C, N, complex, u.as<Real>(), logLambda.as<Real>(), w.as<Real>(), resets.as<int32_t>()};
  }

  TensorRef tokens(Args& args, const TensorRef& tensor, const char* name) const {
    return sized(args, tensor, u.numElements, name);
  }
  TensorRef perChannel(Args& args, const TensorRef& tensor, const char* name) const {
    return sized(args, tensor, C * N * 2, name);
  }
  TensorRef state(Args& args, const TensorRef& tensor, const char* name) const {
    return sized(args, tensor, B * C * N * 2, name);
  }
  TensorRef checkpoints(Args& args, const TensorRef& tensor) const {
    const int64_t numChunks = (T + ltiChunk - 1) / ltiChunk;
    return sized(args, tensor, B * numChunks * C * N * 2, "checkpoints");
  }
  TensorRef sized(Args& args, const TensorRef& tensor, int64_t count, const char* name) const {
    if (!tensor) return tensor;
    args.checkSameType(u, tensor);
    args.check(tensor.numElements == count, std::string(name) + " has " + std::to_string(tensor.numElements) +
                                                " elements, expected " + std::to_string(count));
    return tensor;
  }
};

/// Enqueues a kernel over `numBlocks` blocks of channels.
template <typename Task, typename Real>
void enqueueBlocks(Args& args, const Common& common, const Task& task, int64_t numBlocks,
                   void (*kernel)(const Task&, int64_t begin, int64_t end, Real* scratch)) {
  ThreadPool& pool = common.stream.context().pool();
  args.enqueue(
      [=, &pool] { runLaneBlocks<Task, Real>(pool, task, numBlocks, ltiScratch(task.call.N), kernel); });
}

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const TensorRef h0 = common.state(args, args.optionalTensor("h0"), "h0");
  const TensorRef y = common.tokens(args, args.optionalTensor("y"), "y");
  const TensorRef checkpoints = common.checkpoints(args, args.optionalTensor("checkpoints"));
  const TensorRef state = common.state(args, args.tensor("state"), "state");
  const TensorRef factor = common.state(args, args.optionalTensor("factor"), "factor");
  dispatchFloat(args, common.u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const LtiScanForward<Real> task{common.call<Real>(),    h0.as<Real>(),    y.as<Real>(),
                                    checkpoints.as<Real>(), state.as<Real>(), factor.as<Real>()};
    enqueueBlocks<LtiScanForward<Real>, Real>(args, common, task, common.B * numLaneBlocks(common.C),
                                              ltiScanForward);
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  const Common common(args);
  const TensorRef dy = common.tokens(args, args.tensor("dy"), "dy");
  const TensorRef adjoint = common.state(args, args.tensor("adjoint"), "adjoint");
  dispatchFloat(args, common.u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const LtiScanAdjoint<Real> task{common.call<Real>(), dy.as<Real>(), adjoint.as<Real>()};
    enqueueBlocks<LtiScanAdjoint<Real>, Real>(args, common, task, common.B * numLaneBlocks(common.C),
                                              ltiScanAdjoint);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const TensorRef dy = common.tokens(args, args.tensor("dy"), "dy");
  const TensorRef checkpoints = common.checkpoints(args, args.tensor("checkpoints"));
  const TensorRef dht = common.state(args, args.optionalTensor("dht"), "dht");
  const TensorRef du = common.tokens(args, args.tensor("du"), "du");
  const TensorRef dLogLambda = common.perChannel(args, args.tensor("dLogLambda"), "dLogLambda");
  const TensorRef dw = common.perChannel(args, args.tensor("dw"), "dw");
  const TensorRef dh0 = common.state(args, args.tensor("dh0"), "dh0");
  dispatchFloat(args, common.u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const LtiScanBackward<Real> task{common.call<Real>(), dy.as<Real>(), checkpoints.as<Real>(),
                                     dht.as<Real>(),      du.as<Real>(), dLogLambda.as<Real>(),
                                     dw.as<Real>(),       dh0.as<Real>()};
    enqueueBlocks<LtiScanBackward<Real>, Real>(args, common, task, numLaneBlocks(common.C), ltiScanBackward);
  });
  return args.env().Undefined();
}

}  // namespace

void register_lti_scan(Registry& registry) {
  registry.add("ltiScanForward", 11, bindForward);
  registry.add("ltiScanAdjoint", 8, bindAdjoint);
  registry.add("ltiScanBackward", 13, bindBackward);
}

}  // namespace longscan
