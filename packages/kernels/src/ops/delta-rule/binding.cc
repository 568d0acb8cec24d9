#include <algorithm>

#include "arguments.h"
#include "bind_cuda.h"

namespace longscan {

// The arrays of DeltaScratch in cpu_tile.h, in its order.
size_t deltaRuleScratchBytes(int K, int V, size_t elementBytes) {
  constexpr size_t L = 16;
  const auto padded = [](int n) { return (static_cast<size_t>(n) + L - 1) / L * L; };
  const size_t Kp = padded(K), Vp = padded(V), W = Vp + Kp;
  const size_t states = Kp * W + Kp * Vp + deltaChunk / L * Kp * Vp;
  const size_t rows = L * (4 * Kp + 3 * Vp + 2 * Kp) + (L + 1) * Kp + L * 2 * Kp;
  const size_t writes = 2 * (L * 2 * Kp + L * W + 4 * L * L);
  return elementBytes * (states + rows + writes + L * (std::max(Kp, Vp) + Kp) + 2 * Kp + L * L);
}

namespace {

/// The arguments that every function here begins with, and what they are to the kernels.
struct Common : DeltaArguments {
  explicit Common(Args& args) : DeltaArguments(args) {
    args.check(K >= 1 && V >= 1 && K <= 1024 && V <= 1024, "head sizes are not between 1 and 1024");
    args.check(n >= 1 && n <= 1024, "rows of a token are not between 1 and 1024");
    args.checkSize(beta, k, B * T * n * H, "beta");
    args.checkSize(g, k, B * T * H * (gate == DeltaGate::scalar ? 1 : K), "g");
    args.check(bool(g) == (gate != DeltaGate::none), "g does not fit the gate");
  }

  template <typename Real>
  DeltaRule<Real> call() const {
    return {B,
            T,
            H,
            static_cast<int>(K),
            static_cast<int>(V),
            static_cast<int>(n),
            gate,
            erase,
            read,
            static_cast<Real>(scale),
            q.as<Real>(),
            k.as<Real>(),
            v.as<Real>(),
            beta.as<Real>(),
            g.as<Real>(),
            b.as<Real>(),
            e.as<Real>(),
            resets.as<int32_t>()};
  }

  int64_t checkpointsSize() const { return stateSize() * ((n * T + deltaChunk - 1) / deltaChunk); }

  size_t scratchBytes(size_t elementBytes) const {
    return deltaRuleScratchBytes(static_cast<int>(K), static_cast<int>(V), elementBytes);
  }
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const TensorRef h0 = args.optionalSizedTensor("h0", common.k, common.stateSize());
  const TensorRef o = args.optionalSizedTensor("o", common.k, common.outputSize());
  const TensorRef state = args.optionalSizedTensor("state", common.k, common.stateSize());
  const TensorRef factor =
      args.optionalSizedTensor("factor", common.k, common.B * common.H * common.K * common.K);
  const TensorRef checkpoints = args.optionalSizedTensor("checkpoints", common.k, common.checkpointsSize());
  args.check(!(o && factor), "not both o and factor");
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const DeltaRuleForward<Real> task{common.call<Real>(), h0.as<Real>(),     o.as<Real>(),
                                      state.as<Real>(),    factor.as<Real>(), checkpoints.as<Real>()};
    args.enqueueHeads(task, common.scratchBytes(sizeof(Real)), deltaRuleForward);
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  const Common common(args);
  const TensorRef dO = args.sizedTensor("dO", common.k, common.outputSize());
  const TensorRef adjoint = args.sizedTensor("adjoint", common.k, common.stateSize());
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const DeltaRuleAdjoint<Real> task{common.call<Real>(), dO.as<Real>(), adjoint.as<Real>()};
    args.enqueueHeads(task, common.scratchBytes(sizeof(Real)), deltaRuleAdjoint);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const TensorRef dO = args.sizedTensor("dO", common.k, common.outputSize());
  const TensorRef checkpoints = args.sizedTensor("checkpoints", common.k, common.checkpointsSize());
  const TensorRef dht = args.optionalSizedTensor("dht", common.k, common.stateSize());
  const TensorRef dq = args.sizedTensor("dq", common.k, common.q.numElements);
  const TensorRef dk = args.sizedTensor("dk", common.k, common.k.numElements);
  const TensorRef dv = args.sizedTensor("dv", common.k, common.v.numElements);
  const TensorRef dbeta = args.optionalSizedTensor("dbeta", common.k, common.beta.numElements);
  const TensorRef dg = args.optionalSizedTensor("dg", common.k, common.g.numElements);
  const TensorRef db = args.optionalSizedTensor("db", common.k, common.b.numElements);
  const TensorRef de = args.optionalSizedTensor("de", common.k, common.e.numElements);
  const TensorRef dh0 = args.optionalSizedTensor("dh0", common.k, common.stateSize());
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const DeltaRuleBackward<Real> task{common.call<Real>(), dO.as<Real>(),    checkpoints.as<Real>(),
                                       dht.as<Real>(),      dq.as<Real>(),    dk.as<Real>(),
                                       dv.as<Real>(),       dbeta.as<Real>(), dg.as<Real>(),
                                       db.as<Real>(),       de.as<Real>(),    dh0.as<Real>()};
    args.enqueueHeads(task, common.scratchBytes(sizeof(Real)), deltaRuleBackward);
  });
  return args.env().Undefined();
}

}  // namespace

void register_delta_rule(Registry& registry) {
  registry.add("deltaRuleForward", 18, bindForward);
  registry.add("deltaRuleAdjoint", 15, bindAdjoint);
  registry.add("deltaRuleBackward", 24, bindBackward);
  registerDeltaRuleCuda(registry);
  registerDeltaGeneralCuda(registry);
  registerDplrCuda(registry);
}

}  // namespace longscan
