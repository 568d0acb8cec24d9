#include "../../addon/args.h"
#include "mesa.h"

namespace longscan {

size_t mesaScratchBytes(int K, int V, size_t elementBytes) {
  const size_t Kp = (static_cast<size_t>(K) + 15) / 16 * 16;
  return elementBytes * Kp * ((2 + mesaChunk) * static_cast<size_t>(K + V) + Kp + 4);
}

namespace {

/// The arguments that every function here begins with: stream, q, k, v, beta, g, lambda, resets, h0.
struct Common {
  Stream& stream;
  TensorRef q, k, v, beta, g, lambda, resets, h0;
  int64_t B, T, H, K, V;

  explicit Common(Args& args)
      : stream(args.stream()),
        q(args.tensor("q")),
        k(args.tensor("k")),
        v(args.tensor("v")),
        beta(args.tensor("beta")),
        g(args.tensor("g")),
        lambda(args.tensor("lambda")),
        resets(args.optionalTensor("resets")),
        h0(args.optionalTensor("h0")) {
    args.check(q.numDims == 4 && v.numDims == 4, "q, k and v have 4 dims");
    B = q.dim(0), T = q.dim(1), H = q.dim(2), K = q.dim(3), V = v.dim(3);
    args.check(K >= 1 && V >= 1 && K <= 4096 && V <= 4096, "head sizes are not between 1 and 4096");
    args.checkSize(k, q, numKeys(), "k");
    args.checkSize(v, q, numValues(), "v");
    args.checkSize(beta, q, numTokens(), "beta");
    args.checkSize(g, q, numTokens(), "g");
    args.checkSize(lambda, q, H * K, "lambda");
    args.checkResets(resets, B, T);
    args.checkSize(h0, q, numState(), "h0");
  }

  int64_t numTokens() const { return B * T * H; }
  int64_t numKeys() const { return B * T * H * K; }
  int64_t numValues() const { return B * T * H * V; }
  int64_t numState() const { return B * H * (K + V) * K; }
  int64_t numCheckpoints() const { return numState() * ((T + mesaChunk - 1) / mesaChunk); }

  template <typename Real>
  Mesa<Real> call() const {
    return {B,
            T,
            H,
            static_cast<int>(K),
            static_cast<int>(V),
            q.as<Real>(),
            k.as<Real>(),
            v.as<Real>(),
            beta.as<Real>(),
            g.as<Real>(),
            lambda.as<Real>(),
            resets.as<int32_t>()};
  }

  TensorRef tensor(Args& args, const char* name, int64_t count) const {
    return args.sizedTensor(name, q, count);
  }
  TensorRef optional(Args& args, const char* name, int64_t count) const {
    return args.optionalSizedTensor(name, q, count);
  }
  size_t scratchBytes() const {
    return mesaScratchBytes(static_cast<int>(K), static_cast<int>(V), dtypeBytes(q.dtype));
  }
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const TensorRef o = common.optional(args, "o", common.numValues());
  const TensorRef x = common.optional(args, "x", common.numKeys());
  const TensorRef state = common.optional(args, "state", common.numState());
  const TensorRef factor = common.optional(args, "factor", common.B * common.H);
  args.check(bool(o) == bool(x), "o and x go together");
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MesaForward<Real> task{common.call<Real>(), common.h0.as<Real>(), o.as<Real>(),
                                 x.as<Real>(),        state.as<Real>(),     factor.as<Real>()};
    args.enqueueHeads<MesaForward<Real>>(task, common.scratchBytes(), mesaForward);
  });
  return args.env().Undefined();
}

Napi::Value bindQueryGrad(Args& args) {
  const Common common(args);
  const TensorRef x = common.tensor(args, "x", common.numKeys());
  const TensorRef dO = common.tensor(args, "dO", common.numValues());
  const TensorRef dq = common.tensor(args, "dq", common.numKeys());
  const TensorRef dLambda = common.tensor(args, "dLambda", common.B * common.H * common.K);
  const TensorRef checkpoints = common.tensor(args, "checkpoints", common.numCheckpoints());
  const TensorRef adjoint = common.optional(args, "adjoint", common.numState());
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MesaQueryGrad<Real> task{common.call<Real>(),    common.h0.as<Real>(), x.as<Real>(),
                                   dO.as<Real>(),          dq.as<Real>(),        dLambda.as<Real>(),
                                   checkpoints.as<Real>(), adjoint.as<Real>()};
    args.enqueueHeads<MesaQueryGrad<Real>>(task, common.scratchBytes(), mesaQueryGrad);
  });
  return args.env().Undefined();
}

Napi::Value bindKeyValueGrad(Args& args) {
  const Common common(args);
  const TensorRef x = common.tensor(args, "x", common.numKeys());
  const TensorRef dO = common.tensor(args, "dO", common.numValues());
  const TensorRef dq = common.tensor(args, "dq", common.numKeys());
  const TensorRef checkpoints = common.tensor(args, "checkpoints", common.numCheckpoints());
  const TensorRef dht = common.optional(args, "dht", common.numState());
  const TensorRef dk = common.tensor(args, "dk", common.numKeys());
  const TensorRef dv = common.tensor(args, "dv", common.numValues());
  const TensorRef dBeta = common.tensor(args, "dBeta", common.numTokens());
  const TensorRef dg = common.tensor(args, "dg", common.numTokens());
  const TensorRef dh0 = common.optional(args, "dh0", common.numState());
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
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
