#include <algorithm>
#include <vector>

#include "../../core/run_lane_blocks.h"
#include "bind_cuda.h"
#include "scan_args.h"

namespace longscan {

namespace {

/// Runs a forward kernel over all blocks of channels of all batch rows.
template <typename Task, typename Real>
void runBlocks(ThreadPool& pool, const Task& task,
               void (*kernel)(const Task&, int64_t begin, int64_t end, Real* scratch)) {
  const auto& call = task.call;
  runLaneBlocks<Task, Real>(pool, task, call.B * numLaneBlocks(call.D), selectiveForwardScratch(call.N),
                            kernel);
}

/// Runs the backward kernel, a fixed share of the channels per part. dB and dC sum over channels: each
/// share but the first has sums of its own, added in order afterwards.
template <typename Real>
void runBackward(ThreadPool& pool, const SelectiveScanBackward<Real>& task) {
  const auto& call = task.call;
  const int64_t numBlocks = numLaneBlocks(call.D);
  const int64_t numShares = std::min<int64_t>(pool.numParts(), numBlocks);
  const int64_t size = call.B * call.T * call.N;
  std::vector<Real> sums(static_cast<size_t>((numShares - 1) * 2 * size));
  const int64_t channelsPerShare = (numBlocks + numShares - 1) / numShares * laneBlock;
  const int64_t scratchSize = selectiveBackwardScratch(call.N, channelsPerShare);
  runWithScratch(pool, numShares, static_cast<size_t>(scratchSize) * sizeof(Real),
                 [&](int64_t first, int64_t last, void* scratch) {
                   for (int64_t share = first; share < last; share++) {
                     const int64_t begin = numBlocks * share / numShares * laneBlock;
                     const int64_t end = std::min(call.D, numBlocks * (share + 1) / numShares * laneBlock);
                     SelectiveScanBackward<Real> part = task;
                     if (share > 0) {
                       part.dB = sums.data() + (share - 1) * 2 * size;
                       part.dC = part.dB + size;
                     }
                     selectiveScanBackward(part, begin, end, static_cast<Real*>(scratch));
                   }
                 });
  if (numShares == 1) return;
  pool.run(size, [&](int64_t begin, int64_t end) {
    for (int64_t share = 1; share < numShares; share++) {
      const Real* dB = sums.data() + (share - 1) * 2 * size;
      for (int64_t i = begin; i < end; i++) task.dB[i] += dB[i];
      for (int64_t i = begin; i < end; i++) task.dC[i] += dB[size + i];
    }
  });
}

struct Common : SelectiveScanArgs {
  using SelectiveScanArgs::SelectiveScanArgs;

  template <typename Real>
  SelectiveScan<Real> call() const {
    return {B,
            T,
            D,
            N,
            x.as<Real>(),
            delta.as<Real>(),
            A.as<Real>(),
            inB.as<Real>(),
            outC.as<Real>(),
            resets.as<int32_t>()};
  }
};

Napi::Value bindForward(Args& args) {
  ThreadPool& pool = args.stream().context().pool();
  if (args.onGpu()) return bindSelectiveScanForwardOnGpu(args);
  const Common common(args);
  const TensorRef& x = common.x;
  const TensorRef h0 = args.optionalSizedTensor("h0", x, common.stateSize());
  const TensorRef y = args.optionalSizedTensor("y", x, x.numElements);
  const TensorRef checkpoints = args.optionalSizedTensor("checkpoints", x, common.checkpointSize());
  const TensorRef state = args.sizedTensor("state", x, common.stateSize());
  const TensorRef sumDelta = args.optionalSizedTensor("sumDelta", x, common.B * common.D);
  dispatchFloat(args, x.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const SelectiveScanForward<Real> task{common.call<Real>(),    h0.as<Real>(),    y.as<Real>(),
                                          checkpoints.as<Real>(), state.as<Real>(), sumDelta.as<Real>()};
    args.enqueue(
        [task, &pool] { runBlocks<SelectiveScanForward<Real>, Real>(pool, task, selectiveScanForward); });
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  ThreadPool& pool = args.stream().context().pool();
  if (args.onGpu()) return bindSelectiveScanAdjointOnGpu(args);
  const Common common(args);
  const TensorRef dy = args.sizedTensor("dy", common.x, common.x.numElements);
  const TensorRef adjoint = args.sizedTensor("adjoint", common.x, common.stateSize());
  dispatchFloat(args, common.x.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const SelectiveScanAdjoint<Real> task{common.call<Real>(), dy.as<Real>(), adjoint.as<Real>()};
    args.enqueue(
        [task, &pool] { runBlocks<SelectiveScanAdjoint<Real>, Real>(pool, task, selectiveScanAdjoint); });
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  ThreadPool& pool = args.stream().context().pool();
  if (args.onGpu()) return bindSelectiveScanBackwardOnGpu(args);
  const Common common(args);
  const TensorRef& x = common.x;
  const TensorRef dy = args.sizedTensor("dy", x, x.numElements);
  const TensorRef checkpoints = args.sizedTensor("checkpoints", x, common.checkpointSize());
  const TensorRef dht = args.optionalSizedTensor("dht", x, common.stateSize());
  const TensorRef dx = args.sizedTensor("dx", x, x.numElements);
  const TensorRef dDelta = args.sizedTensor("dDelta", x, x.numElements);
  const TensorRef dA = args.sizedTensor("dA", x, common.A.numElements);
  const TensorRef dB = args.sizedTensor("dB", x, common.inB.numElements);
  const TensorRef dC = args.sizedTensor("dC", x, common.outC.numElements);
  const TensorRef dh0 = args.sizedTensor("dh0", x, common.stateSize());
  dispatchFloat(args, x.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const SelectiveScanBackward<Real> task{
        common.call<Real>(), dy.as<Real>(), checkpoints.as<Real>(), dht.as<Real>(), dx.as<Real>(),
        dDelta.as<Real>(),   dA.as<Real>(), dB.as<Real>(),          dC.as<Real>(),  dh0.as<Real>()};
    args.enqueue([task, &pool] { runBackward(pool, task); });
  });
  return args.env().Undefined();
}

}  // namespace

void register_selective_scan(Registry& registry) {
  registry.add("selectiveScanForward", 12, bindForward);
  registry.add("selectiveScanAdjoint", 9, bindAdjoint);
  registry.add("selectiveScanBackward", 16, bindBackward);
}

}  // namespace longscan
