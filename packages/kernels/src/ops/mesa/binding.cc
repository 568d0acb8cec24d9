#include "../../addon/head_args.h"
#include "bind_cuda.h"
#include "mesa.h"

namespace longscan {

size_t mesaScratchBytes(int K, int V, size_t elementBytes) {
  const size_t Kp = (static_cast<size_t>(K) + 15) / 16 * 16;
  return elementBytes * Kp * ((2 + mesaChunk) * static_cast<size_t>(K + V) + Kp + 4);
}

namespace {

/// The arguments that every function here begins with, after the stream: q, k, v, beta, g, lambda, resets,
/// h0.
struct Common {
  HeadArgs heads;
  TensorRef beta, g, lambda, resets, h0;

  explicit Common(Args& args)
      : heads(args),
        beta(heads.tensor(args, "beta", heads.numTokens())),
        g(heads.tensor(args, "g", heads.numTokens())),
        lambda(heads.tensor(args, "lambda", heads.H * heads.K)),
        resets(args.optionalTensor("resets")),
        h0(heads.optional(args, "h0", numState())) {
    args.checkResets(resets, heads.B, heads.T);
  }

  int64_t numState() const { return heads.B * heads.H * (heads.K + heads.V) * heads.K; }
  int64_t numCheckpoints() const { return numState() * ((heads.T + mesaChunk - 1) / mesaChunk); }

  template <typename Real>
  Mesa<Real> call() const {
    return {heads.B,
            heads.T,
            heads.H,
            static_cast<int>(heads.K),
            static_cast<int>(heads.V),
            heads.q.as<Real>(),
            heads.k.as<Real>(),
            heads.v.as<Real>(),
            beta.as<Real>(),
            g.as<Real>(),
            lambda.as<Real>(),
            resets.as<int32_t>()};
  }
  size_t scratchBytes() const {
    return mesaScratchBytes(static_cast<int>(heads.K), static_cast<int>(heads.V), dtypeBytes(heads.q.dtype));
  }
};

Napi::Value bindForward(Args& args) {
  args.stream();
  if (args.onGpu()) return bindMesaForwardOnGpu(args);
  const Common common(args);
  const TensorRef o = common.heads.optional(args, "o", common.heads.numValues());
  const TensorRef x = common.heads.optional(args, "x", common.heads.numKeys());
  const TensorRef state = common.heads.optional(args, "state", common.numState());
  const TensorRef factor = common.heads.optional(args, "factor", common.heads.B * common.heads.H);
  args.check(bool(o) == bool(x), "o and x go together");
  dispatchFloat(args, common.heads.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MesaForward<Real> task{common.call<Real>(), common.h0.as<Real>(), o.as<Real>(),
                                 x.as<Real>(),        state.as<Real>(),     factor.as<Real>()};
    args.enqueueHeads<MesaForward<Real>>(task, common.scratchBytes(), mesaForward);
  });
  return args.env().Undefined();
}

Napi::Value bindQueryGrad(Args& args) {
  args.stream();
  if (args.onGpu()) return bindMesaQueryGradOnGpu(args);
  const Common common(args);
  const TensorRef x = common.heads.tensor(args, "x", common.heads.numKeys());
  const TensorRef dO = common.heads.tensor(args, "dO", common.heads.numValues());
  const TensorRef dq = common.heads.tensor(args, "dq", common.heads.numKeys());
  const TensorRef dLambda =
      common.heads.tensor(args, "dLambda", common.heads.B * common.heads.H * common.heads.K);
  const TensorRef checkpoints = common.heads.tensor(args, "kept", common.numCheckpoints());
  const TensorRef adjoint = common.heads.optional(args, "adjoint", common.numState());
  dispatchFloat(args, common.heads.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MesaQueryGrad<Real> task{common.call<Real>(),    common.h0.as<Real>(), x.as<Real>(),
                                   dO.as<Real>(),          dq.as<Real>(),        dLambda.as<Real>(),
                                   checkpoints.as<Real>(), adjoint.as<Real>()};
    args.enqueueHeads<MesaQueryGrad<Real>>(task, common.scratchBytes(), mesaQueryGrad);
  });
  return args.env().Undefined();
}

Napi::Value bindKeyValueGrad(Args& args) {
  args.stream();
  if (args.onGpu()) return bindMesaKeyValueGradOnGpu(args);
  const Common common(args);
  const TensorRef x = common.heads.tensor(args, "x", common.heads.numKeys());
  const TensorRef dO = common.heads.tensor(args, "dO", common.heads.numValues());
  const TensorRef dq = common.heads.tensor(args, "dq", common.heads.numKeys());
  const TensorRef checkpoints = common.heads.tensor(args, "kept", common.numCheckpoints());
  const TensorRef dht = common.heads.optional(args, "dht", common.numState());
  const TensorRef dk = common.heads.tensor(args, "dk", common.heads.numKeys());
  const TensorRef dv = common.heads.tensor(args, "dv", common.heads.numValues());
  const TensorRef dBeta = common.heads.tensor(args, "dBeta", common.heads.numTokens());
  const TensorRef dg = common.heads.tensor(args, "dg", common.heads.numTokens());
  const TensorRef dh0 = common.heads.optional(args, "dh0", common.numState());
  dispatchFloat(args, common.heads.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MesaKeyValueGrad<Real> task{common.call<Real>(),    x.as<Real>(),   dO.as<Real>(), dq.as<Real>(),
                                      checkpoints.as<Real>(), dht.as<Real>(), dk.as<Real>(), dv.as<Real>(),
                                      dBeta.as<Real>(),       dg.as<Real>(),  dh0.as<Real>()};
    args.enqueueHeads<MesaKeyValueGrad<Real>>(task, common.scratchBytes(), mesaKeyValueGrad);
  });
  return args.env().Undefined();
}

}  // namespace

void register_mesa(Registry& registry) {
  registry.add("mesaForward", 13, bindForward);
  registry.add("mesaQueryGrad", 15, bindQueryGrad);
  registry.add("mesaKeyValueGrad", 19, bindKeyValueGrad);
}

}  // namespace longscan
