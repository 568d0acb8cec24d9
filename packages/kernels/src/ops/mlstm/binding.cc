#include <algorithm>

#include "../../addon/args.h"
#include "mlstm.h"

namespace longscan {

size_t mlstmScratchBytes(int K, int V, size_t elementBytes) {
  const auto padded = [](int n) { return (static_cast<size_t>(n) + 15) / 16 * 16; };
  const size_t Kp = padded(K), Wp = padded(V + 1), numStates = 2 + mlstmChunk / 16;
  return elementBytes *
         (numStates * Kp * Wp + 16 * (7 * Kp + 3 * Wp + std::max(Kp, Wp)) + 3 * 256 + 2 * 16 + Kp);
}

namespace {

/// The arguments that every function here begins with: stream, scale, q, k, v, i, f, resets, h0.
struct Common {
  Stream& stream;
  double scale;
  TensorRef q, k, v, i, f, resets, h0;
  int64_t B, T, H, K, V;

  explicit Common(Args& args)
      : stream(args.stream()),
        scale(args.number("scale")),
        q(args.tensor("q")),
        k(args.tensor("k")),
        v(args.tensor("v")),
        i(args.tensor("i")),
        f(args.tensor("f")),
        resets(args.optionalTensor("resets")),
        h0(args.optionalTensor("h0")) {
    args.check(q.numDims == 4 && v.numDims == 4, "q, k and v have 4 dims");
    B = q.dim(0), T = q.dim(1), H = q.dim(2), K = q.dim(3), V = v.dim(3);
    args.check(K >= 1 && V >= 1 && K <= 4096 && V <= 4096, "head sizes are not between 1 and 4096");
    args.checkSize(k, q, B * T * H * K, "k");
    args.checkSize(v, q, B * T * H * V, "v");
    args.checkSize(i, q, B * T * H, "i");
    args.checkSize(f, q, B * T * H, "f");
    args.checkResets(resets, B, T);
    args.checkSize(h0, q, numState(), "h0");
  }

  int64_t numState() const { return B * H * (V + 1) * (K + 1); }
  int64_t numCheckpoints() const { return B * H * ((T + mlstmChunk - 1) / mlstmChunk) * K * (V + 1); }

  template <typename Real>
  Mlstm<Real> call() const {
    return {B,
            T,
            H,
            static_cast<int>(K),
            static_cast<int>(V),
            static_cast<Real>(scale),
            q.as<Real>(),
            k.as<Real>(),
            v.as<Real>(),
            i.as<Real>(),
            f.as<Real>(),
            resets.as<int32_t>()};
  }

  TensorRef tensor(Args& args, const char* name, int64_t count) const {
    return args.sizedTensor(name, q, count);
  }
  TensorRef optional(Args& args, const char* name, int64_t count) const {
    return args.optionalSizedTensor(name, q, count);
  }
  size_t scratchBytes() const {
    return mlstmScratchBytes(static_cast<int>(K), static_cast<int>(V), dtypeBytes(q.dtype));
  }
};

/// h, normalizer and m of the tokens.
struct Tokens {
  TensorRef h, normalizer, m;

  Tokens(Args& args, const Common& common)
      : h(common.optional(args, "h", common.v.numElements)),
        normalizer(common.optional(args, "normalizer", common.i.numElements)),
        m(common.optional(args, "m", common.i.numElements)) {
    args.check(bool(h) == bool(normalizer) && bool(h) == bool(m), "h, normalizer and m go together");
  }

  template <typename Real>
  MlstmTokens<Real> as() const {
    return {h.as<Real>(), normalizer.as<Real>(), m.as<Real>()};
  }
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const Tokens tokens(args, common);
  const TensorRef checkpoints = common.optional(args, "checkpoints", common.numCheckpoints());
  const TensorRef state = common.optional(args, "state", common.numState());
  const TensorRef factor = common.optional(args, "factor", common.B * common.H);
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MlstmForward<Real> task{common.call<Real>(),    common.h0.as<Real>(), tokens.as<Real>(),
                                  checkpoints.as<Real>(), state.as<Real>(),     factor.as<Real>()};
    args.enqueueHeads<MlstmForward<Real>>(task, common.scratchBytes(), mlstmForward);
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  const Common common(args);
  const Tokens tokens(args, common);
  args.check(bool(tokens.h), "h, normalizer and m are missing");
  const TensorRef dH = common.tensor(args, "dH", common.v.numElements);
  const TensorRef adjoint = common.tensor(args, "adjoint", common.numState());
  const TensorRef factor = common.tensor(args, "factor", common.B * common.H);
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MlstmAdjoint<Real> task{common.call<Real>(), common.h0.as<Real>(), tokens.as<Real>(),
                                  dH.as<Real>(),       adjoint.as<Real>(),   factor.as<Real>()};
    args.enqueueHeads<MlstmAdjoint<Real>>(task, common.scratchBytes(), mlstmAdjoint);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const Tokens tokens(args, common);
  args.check(bool(tokens.h), "h, normalizer and m are missing");
  const TensorRef checkpoints = common.tensor(args, "checkpoints", common.numCheckpoints());
  const TensorRef dH = common.tensor(args, "dH", common.v.numElements);
  const TensorRef dht = common.optional(args, "dht", common.numState());
  const TensorRef dq = common.tensor(args, "dq", common.q.numElements);
  const TensorRef dk = common.tensor(args, "dk", common.q.numElements);
  const TensorRef dv = common.tensor(args, "dv", common.v.numElements);
  const TensorRef di = common.tensor(args, "di", common.i.numElements);
  const TensorRef df = common.tensor(args, "df", common.i.numElements);
  const TensorRef dh0 = common.optional(args, "dh0", common.numState());
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MlstmBackward<Real> task{common.call<Real>(),    common.h0.as<Real>(), tokens.as<Real>(),
                                   checkpoints.as<Real>(), dH.as<Real>(),        dht.as<Real>(),
                                   dq.as<Real>(),          dk.as<Real>(),        dv.as<Real>(),
                                   di.as<Real>(),          df.as<Real>(),        dh0.as<Real>()};
    args.enqueueHeads<MlstmBackward<Real>>(task, common.scratchBytes(), mlstmBackward);
  });
  return args.env().Undefined();
}

}  // namespace

void register_mlstm(Registry& registry) {
  registry.add("mlstmForward", 15, bindForward);
  registry.add("mlstmAdjoint", 15, bindAdjoint);
  registry.add("mlstmBackward", 21, bindBackward);
}

}  // namespace longscan
