#include <algorithm>

#include "../../addon/args.h"
#include "bind_cuda.h"
#include "gated_linear.h"

namespace longscan {

size_t gatedLinearScratchBytes(int K, int V, size_t elementBytes) {
  const auto padded = [](int n) { return (static_cast<size_t>(n) + 15) / 16 * 16; };
  const size_t Kp = padded(K), Vp = padded(V);
  return sizeof(double) * 2 * Kp +
         elementBytes * (Kp * Vp + 16 * (9 * Kp + 2 * Vp + std::max(Kp, Vp)) + 4 * Kp + 3 * 256 + 16);
}

namespace {

/// The arguments that every function here begins with: stream, decay, scale, k, v, g, bonus, resets.
struct Common {
  Stream& stream;
  Decay decay;
  double scale;
  TensorRef k, v, g, bonus, resets;
  int64_t B, T, H, G, K, V;

  explicit Common(Args& args)
      : stream(args.stream()),
        decay(static_cast<Decay>(args.integer("decay"))),
        scale(args.number("scale")),
        k(args.tensor("k")),
        v(args.tensor("v")),
        g(args.optionalTensor("g")),
        bonus(args.optionalTensor("bonus")),
        resets(args.optionalTensor("resets")) {
    args.check(k.numDims == 4 && v.numDims == 4, "k and v have 4 dims");
    B = v.dim(0), T = v.dim(1), H = v.dim(2), V = v.dim(3), G = k.dim(2), K = k.dim(3);
    args.check(k.dim(0) == B && k.dim(1) == T && G >= 1 && H % G == 0, "k and v do not fit");
    args.check(K >= 1 && V >= 1 && K <= 4096 && V <= 4096, "head sizes are not between 1 and 4096");
    args.check(decay >= Decay::identity && decay <= Decay::diagonal, "unknown decay");
    args.checkSameType(k, v);
    const int64_t expected = decay == Decay::identity      ? 0
                             : decay == Decay::fixedScalar ? H
                             : decay == Decay::scalar      ? B * T * H
                                                           : B * T * H * K;
    args.check(g.numElements == expected && (g ? g.dtype == k.dtype : expected == 0),
               "g does not fit its decay");
    args.checkSize(bonus, k, H * K, "bonus");
    args.checkResets(resets, B, T);
  }

  template <typename Real>
  GatedLinear<Real> call() const {
    return {B,
            T,
            H,
            G,
            static_cast<int>(K),
            static_cast<int>(V),
            decay,
            static_cast<Real>(scale),
            k.as<Real>(),
            v.as<Real>(),
            g.as<Real>(),
            bonus.as<Real>(),
            resets.as<int32_t>()};
  }

  Axis axis(Args& args) const {
    const int64_t axis = args.integer("axis");
    args.check(axis == 0 || axis == 1, "unknown axis");
    return static_cast<Axis>(axis);
  }
  TensorRef state(Args& args, const char* name) const { return args.sizedTensor(name, k, B * H * K * V); }
  TensorRef optionalState(Args& args, const char* name) const {
    return args.optionalSizedTensor(name, k, B * H * K * V);
  }
  TensorRef values(Args& args, const char* name) const { return args.sizedTensor(name, k, v.numElements); }
  TensorRef keys(Args& args, const char* name) const { return args.sizedTensor(name, k, k.numElements); }
  /// Of each head for itself, [B, T, H, K].
  TensorRef channels(Args& args, const char* name) const { return args.sizedTensor(name, k, B * T * H * K); }
  TensorRef checkpoints(Args& args) const {
    const int64_t numChunks = (T + decayChunk - 1) / decayChunk;
    return args.optionalSizedTensor("checkpoints", k, B * H * numChunks * K * V);
  }
  size_t scratchBytes(size_t elementBytes) const {
    return gatedLinearScratchBytes(static_cast<int>(K), static_cast<int>(V), elementBytes);
  }
};

Napi::Value bindSweep(Args& args) {
  const Common common(args);
  const Axis axis = common.axis(args);
  const bool withKeys = axis == Axis::key;
  const TensorRef reader = withKeys ? common.keys(args, "reader") : common.values(args, "reader");
  const TensorRef h0 = common.optionalState(args, "h0");
  const TensorRef out = withKeys ? common.values(args, "out") : common.channels(args, "out");
  const TensorRef state = common.optionalState(args, "state");
  const int64_t decaysPerHead = common.decay == Decay::diagonal ? common.K : 1;
  const TensorRef factor = args.optionalSizedTensor("factor", common.k, common.B * common.H * decaysPerHead);
  const TensorRef reset = args.optionalSizedTensor("reset", common.k, common.B);
  const TensorRef checkpoints = common.checkpoints(args);
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearSweep<Real> task{common.call<Real>(),   axis,
                                      reader.as<Real>(),     h0.as<Real>(),
                                      out.as<Real>(),        state.as<Real>(),
                                      factor.as<Real>(),     reset.as<Real>(),
                                      checkpoints.as<Real>()};
    args.enqueueHeads(task, common.scratchBytes(sizeof(Real)), gatedLinearSweep);
  });
  return args.env().Undefined();
}

Napi::Value bindCorrect(Args& args) {
  const Common common(args);
  const Axis axis = common.axis(args);
  const bool withKeys = axis == Axis::key;
  const TensorRef reader = withKeys ? common.keys(args, "reader") : common.values(args, "reader");
  const TensorRef h0 = common.state(args, "h0");
  const TensorRef out = withKeys ? common.values(args, "out") : common.channels(args, "out");
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearCorrect<Real> task{common.call<Real>(), axis, reader.as<Real>(), h0.as<Real>(),
                                        out.as<Real>()};
    args.enqueueHeads(task, common.scratchBytes(sizeof(Real)), gatedLinearCorrect);
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  const Common common(args);
  const TensorRef q = common.keys(args, "q");
  const TensorRef dO = common.values(args, "dO");
  const TensorRef adjoint = common.state(args, "adjoint");
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearAdjoint<Real> task{common.call<Real>(), q.as<Real>(), dO.as<Real>(), adjoint.as<Real>()};
    args.enqueueHeads(task, common.scratchBytes(sizeof(Real)), gatedLinearAdjoint);
  });
  return args.env().Undefined();
}

Napi::Value bindWriteGrad(Args& args) {
  const Common common(args);
  const TensorRef q = common.keys(args, "q");
  const TensorRef dq = common.channels(args, "dq");
  const TensorRef dO = common.values(args, "dO");
  const TensorRef checkpoints = common.checkpoints(args);
  const TensorRef dht = common.optionalState(args, "dht");
  const bool fromZero = args.flag("fromZero");
  const TensorRef dk = common.channels(args, "dk");
  const TensorRef dv = common.values(args, "dv");
  const TensorRef dg = args.optionalSizedTensor("dg", common.k, common.g.numElements);
  const TensorRef dbonus = args.optionalSizedTensor("dbonus", common.k, common.B * common.H * common.K);
  const TensorRef dh0 = common.optionalState(args, "dh0");
  args.check(!dg || (checkpoints && common.decay >= Decay::scalar),
             "dg needs checkpoints and a decay per token");
  args.check(!dbonus == !common.bonus, "dbonus and bonus go together");
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearWriteGrad<Real> task{
        common.call<Real>(),    q.as<Real>(),   dq.as<Real>(),     dO.as<Real>(),
        checkpoints.as<Real>(), dht.as<Real>(), fromZero,          dk.as<Real>(),
        dv.as<Real>(),          dg.as<Real>(),  dbonus.as<Real>(), dh0.as<Real>()};
    args.enqueueHeads(task, common.scratchBytes(sizeof(Real)), gatedLinearWriteGrad);
  });
  return args.env().Undefined();
}

}  // namespace

void register_gated_linear(Registry& registry) {
  registry.add("gatedLinearSweep", 16, bindSweep);
  registry.add("gatedLinearCorrect", 12, bindCorrect);
  registry.add("gatedLinearAdjoint", 11, bindAdjoint);
  registry.add("gatedLinearWriteGrad", 19, bindWriteGrad);
  registerGatedLinearCuda(registry);
  registerGatedLinearUnordered(registry);
}

}  // namespace longscan
