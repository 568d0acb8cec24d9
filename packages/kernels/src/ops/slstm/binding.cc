#include "../../addon/args.h"
#include "bind_cuda.h"
#include "slstm.h"

namespace longscan {

size_t slstmScratchBytes(int N, size_t elementBytes) {
  const size_t Np = (static_cast<size_t>(N) + 15) / 16 * 16;
  return elementBytes * Np * (3 * 4 * Np + 3 * 4 + 4 + 16 * (4 + 1));
}

namespace {

/// The arguments that every function here begins with, after the stream: gates, recurrent, resets, h0.
struct Common {
  TensorRef gates, recurrent, resets, h0;
  int64_t B, T, H, N;

  explicit Common(Args& args)
      : gates(args.tensor("gates")),
        recurrent(args.tensor("recurrent")),
        resets(args.optionalTensor("resets")),
        h0(args.optionalTensor("h0")) {
    args.check(gates.numDims == 5 && gates.dim(3) == 4, "gates is not [B, T, H, 4, N]");
    B = gates.dim(0), T = gates.dim(1), H = gates.dim(2), N = gates.dim(4);
    args.check(N >= 1 && N <= 4096, "the head size is not between 1 and 4096");
    args.checkSize(recurrent, gates, H * N * 4 * N, "recurrent");
    args.checkResets(resets, B, T);
    args.checkSize(h0, gates, numState(), "h0");
  }

  /// Of one number per token and unit.
  int64_t numUnits() const { return B * T * H * N; }
  int64_t numState() const { return B * H * 4 * N; }

  template <typename Real>
  Slstm<Real> call() const {
    return {B, T, H, static_cast<int>(N), gates.as<Real>(), recurrent.as<Real>(), resets.as<int32_t>()};
  }

  TensorRef tensor(Args& args, const char* name, int64_t count) const {
    return args.sizedTensor(name, gates, count);
  }
  TensorRef optional(Args& args, const char* name, int64_t count) const {
    return args.optionalSizedTensor(name, gates, count);
  }
  size_t scratchBytes() const { return slstmScratchBytes(static_cast<int>(N), dtypeBytes(gates.dtype)); }
};

Napi::Value bindForward(Args& args) {
  args.stream();
  if (args.onGpu()) return bindSlstmForwardOnGpu(args);
  const Common common(args);
  const TensorRef h = common.tensor(args, "h", common.numUnits());
  const TensorRef sums = common.tensor(args, "sums", 4 * common.numUnits());
  const TensorRef cells = common.tensor(args, "cells", 3 * common.numUnits());
  const TensorRef state = common.tensor(args, "state", common.numState());
  dispatchFloat(args, common.gates.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const SlstmForward<Real> task{common.call<Real>(), common.h0.as<Real>(), h.as<Real>(),
                                  sums.as<Real>(),     cells.as<Real>(),     state.as<Real>()};
    args.enqueueHeads<SlstmForward<Real>>(task, common.scratchBytes(), slstmForward);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  args.stream();
  if (args.onGpu()) return bindSlstmBackwardOnGpu(args);
  const Common common(args);
  const TensorRef h = common.tensor(args, "h", common.numUnits());
  const TensorRef sums = common.tensor(args, "sums", 4 * common.numUnits());
  const TensorRef cells = common.tensor(args, "cells", 3 * common.numUnits());
  const TensorRef dH = common.tensor(args, "dH", common.numUnits());
  const TensorRef dht = common.optional(args, "dht", common.numState());
  const TensorRef dGates = common.tensor(args, "dGates", 4 * common.numUnits());
  const TensorRef dRecurrent = common.tensor(args, "dRecurrent", common.B * common.recurrent.numElements);
  const TensorRef dh0 = common.optional(args, "dh0", common.numState());
  dispatchFloat(args, common.gates.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const SlstmBackward<Real> task{
        common.call<Real>(), common.h0.as<Real>(), h.as<Real>(),      sums.as<Real>(),       cells.as<Real>(),
        dH.as<Real>(),       dht.as<Real>(),       dGates.as<Real>(), dRecurrent.as<Real>(), dh0.as<Real>()};
    args.enqueueHeads<SlstmBackward<Real>>(task, common.scratchBytes(), slstmBackward);
  });
  return args.env().Undefined();
}

}  // namespace

void register_slstm(Registry& registry) {
  registry.add("slstmForward", 9, bindForward);
  registry.add("slstmBackward", 13, bindBackward);
}

}  // namespace longscan
