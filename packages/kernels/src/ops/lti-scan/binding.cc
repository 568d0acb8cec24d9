#include "../../addon/args.h"
#include "../../core/run_lane_blocks.h"
#include "bind_cuda.h"
#include "lti_scan.h"

namespace longscan {

namespace {

/// The arguments that every function here begins with, after the stream: complex, u, logLambda, w, resets.
struct Common {
  bool complex;
  TensorRef u, logLambda, w, resets;
  int64_t B, T, C, N;

  explicit Common(Args& args)
      : complex(args.flag("complex")),
        u(args.tensor("u")),
        logLambda(args.tensor("logLambda")),
        w(args.tensor("w")),
        resets(args.optionalTensor("resets")) {
    args.check(u.numDims == 3 && logLambda.numDims == 3, "u or logLambda has not 3 dims");
    B = u.dim(0), T = u.dim(1), C = logLambda.dim(0), N = logLambda.dim(1);
    args.check(u.dim(2) == (complex ? 2 * C : C), "u has not the channels of logLambda");
    args.check(logLambda.dim(2) == 2 && N >= 1 && N <= 1024, "logLambda is not [C, 1 to 1024, 2]");
    args.checkSize(logLambda, u, C * N * 2, "logLambda");
    args.checkSize(w, u, C * N * 2, "w");
    args.checkResets(resets, B, T);
  }

  template <typename Real>
  LtiScan<Real> call() const {
    return {B, T, C, N, complex, u.as<Real>(), logLambda.as<Real>(), w.as<Real>(), resets.as<int32_t>()};
  }

  int64_t stateSize() const { return B * C * N * 2; }
  int64_t checkpointSize() const { return (T + ltiChunk - 1) / ltiChunk * stateSize(); }
};

/// Enqueues a kernel over `numBlocks` blocks of channels.
template <typename Task, typename Real>
void enqueueBlocks(Args& args, ThreadPool& pool, const Task& task, int64_t numBlocks,
                   void (*kernel)(const Task&, int64_t begin, int64_t end, Real* scratch)) {
  args.enqueue(
      [=, &pool] { runLaneBlocks<Task, Real>(pool, task, numBlocks, ltiScratch(task.call.N), kernel); });
}

Napi::Value bindForward(Args& args) {
  ThreadPool& pool = args.stream().context().pool();
  if (args.onGpu()) return bindLtiScanForwardOnGpu(args);
  const Common common(args);
  const TensorRef h0 = args.optionalSizedTensor("h0", common.u, common.stateSize());
  const TensorRef y = args.optionalSizedTensor("y", common.u, common.u.numElements);
  const TensorRef checkpoints = args.optionalSizedTensor("checkpoints", common.u, common.checkpointSize());
  const TensorRef state = args.sizedTensor("state", common.u, common.stateSize());
  const TensorRef factor = args.optionalSizedTensor("factor", common.u, common.stateSize());
  dispatchFloat(args, common.u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const LtiScanForward<Real> task{common.call<Real>(),    h0.as<Real>(),    y.as<Real>(),
                                    checkpoints.as<Real>(), state.as<Real>(), factor.as<Real>()};
    enqueueBlocks<LtiScanForward<Real>, Real>(args, pool, task, common.B * numLaneBlocks(common.C),
                                              ltiScanForward);
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  ThreadPool& pool = args.stream().context().pool();
  if (args.onGpu()) return bindLtiScanAdjointOnGpu(args);
  const Common common(args);
  const TensorRef dy = args.sizedTensor("dy", common.u, common.u.numElements);
  const TensorRef adjoint = args.sizedTensor("adjoint", common.u, common.stateSize());
  dispatchFloat(args, common.u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const LtiScanAdjoint<Real> task{common.call<Real>(), dy.as<Real>(), adjoint.as<Real>()};
    enqueueBlocks<LtiScanAdjoint<Real>, Real>(args, pool, task, common.B * numLaneBlocks(common.C),
                                              ltiScanAdjoint);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  ThreadPool& pool = args.stream().context().pool();
  if (args.onGpu()) return bindLtiScanBackwardOnGpu(args);
  const Common common(args);
  const TensorRef dy = args.sizedTensor("dy", common.u, common.u.numElements);
  const TensorRef checkpoints = args.sizedTensor("checkpoints", common.u, common.checkpointSize());
  const TensorRef dht = args.optionalSizedTensor("dht", common.u, common.stateSize());
  const TensorRef du = args.sizedTensor("du", common.u, common.u.numElements);
  const TensorRef dLogLambda = args.sizedTensor("dLogLambda", common.u, common.w.numElements);
  const TensorRef dw = args.sizedTensor("dw", common.u, common.w.numElements);
  const TensorRef dh0 = args.sizedTensor("dh0", common.u, common.stateSize());
  dispatchFloat(args, common.u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const LtiScanBackward<Real> task{common.call<Real>(), dy.as<Real>(), checkpoints.as<Real>(),
                                     dht.as<Real>(),      du.as<Real>(), dLogLambda.as<Real>(),
                                     dw.as<Real>(),       dh0.as<Real>()};
    enqueueBlocks<LtiScanBackward<Real>, Real>(args, pool, task, numLaneBlocks(common.C), ltiScanBackward);
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
