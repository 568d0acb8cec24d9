#include <algorithm>

#include "../../addon/head_args.h"
#include "bind_cuda.h"
#include "mlstm.h"

namespace longscan {

size_t mlstmScratchBytes(int K, int V, size_t elementBytes) {
  const auto padded = [](int n) { return (static_cast<size_t>(n) + 15) / 16 * 16; };
  const size_t Kp = padded(K), Wp = padded(V + 1), numStates = 2 + mlstmChunk / 16;
  return elementBytes *
         (numStates * Kp * Wp + 16 * (7 * Kp + 3 * Wp + std::max(Kp, Wp)) + 3 * 256 + 2 * 16 + Kp);
}

namespace {

/// The arguments that every function here begins with, after the stream: scale, q, k, v, i, f, resets, h0.
struct Common {
  double scale;
  HeadArgs heads;
  TensorRef i, f, resets, h0;

  explicit Common(Args& args)
      : scale(args.number("scale")),
        heads(args),
        i(heads.tensor(args, "i", heads.numTokens())),
        f(heads.tensor(args, "f", heads.numTokens())),
        resets(args.optionalTensor("resets")),
        h0(heads.optional(args, "h0", numState())) {
    args.checkResets(resets, heads.B, heads.T);
  }

  int64_t numState() const { return heads.B * heads.H * (heads.V + 1) * (heads.K + 1); }
  int64_t numCheckpoints() const {
    return heads.B * heads.H * ((heads.T + mlstmChunk - 1) / mlstmChunk) * heads.K * (heads.V + 1);
  }

  template <typename Real>
  Mlstm<Real> call() const {
    return {heads.B,
            heads.T,
            heads.H,
            static_cast<int>(heads.K),
            static_cast<int>(heads.V),
            static_cast<Real>(scale),
            heads.q.as<Real>(),
            heads.k.as<Real>(),
            heads.v.as<Real>(),
            i.as<Real>(),
            f.as<Real>(),
            resets.as<int32_t>()};
  }
  size_t scratchBytes() const {
    return mlstmScratchBytes(static_cast<int>(heads.K), static_cast<int>(heads.V), dtypeBytes(heads.q.dtype));
  }
};

/// h, normalizer and m of the tokens.
struct Tokens {
  TensorRef h, normalizer, m;

  Tokens(Args& args, const Common& common)
      : h(common.heads.optional(args, "h", common.heads.numValues())),
        normalizer(common.heads.optional(args, "normalizer", common.heads.numTokens())),
        m(common.heads.optional(args, "m", common.heads.numTokens())) {
    args.check(bool(h) == bool(normalizer) && bool(h) == bool(m), "h, normalizer and m go together");
  }

  template <typename Real>
  MlstmTokens<Real> as() const {
    return {h.as<Real>(), normalizer.as<Real>(), m.as<Real>()};
  }
};

Napi::Value bindForward(Args& args) {
  args.stream();
  if (args.onGpu()) return bindMlstmForwardOnGpu(args);
  const Common common(args);
  const Tokens tokens(args, common);
  const TensorRef checkpoints = common.heads.optional(args, "checkpoints", common.numCheckpoints());
  const TensorRef state = common.heads.optional(args, "state", common.numState());
  const TensorRef factor = common.heads.optional(args, "factor", common.heads.B * common.heads.H);
  dispatchFloat(args, common.heads.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MlstmForward<Real> task{common.call<Real>(),    common.h0.as<Real>(), tokens.as<Real>(),
                                  checkpoints.as<Real>(), state.as<Real>(),     factor.as<Real>()};
    args.enqueueHeads<MlstmForward<Real>>(task, common.scratchBytes(), mlstmForward);
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  args.stream();
  if (args.onGpu()) return bindMlstmAdjointOnGpu(args);
  const Common common(args);
  const Tokens tokens(args, common);
  args.check(bool(tokens.h), "h, normalizer and m are missing");
  const TensorRef dH = common.heads.tensor(args, "dH", common.heads.numValues());
  const TensorRef adjoint = common.heads.tensor(args, "adjoint", common.numState());
  const TensorRef factor = common.heads.tensor(args, "factor", common.heads.B * common.heads.H);
  dispatchFloat(args, common.heads.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const MlstmAdjoint<Real> task{common.call<Real>(), common.h0.as<Real>(), tokens.as<Real>(),
                                  dH.as<Real>(),       adjoint.as<Real>(),   factor.as<Real>()};
    args.enqueueHeads<MlstmAdjoint<Real>>(task, common.scratchBytes(), mlstmAdjoint);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  args.stream();
  if (args.onGpu()) return bindMlstmBackwardOnGpu(args);
  const Common common(args);
  const Tokens tokens(args, common);
  args.check(bool(tokens.h), "h, normalizer and m are missing");
  const TensorRef checkpoints = common.heads.tensor(args, "checkpoints", common.numCheckpoints());
  const TensorRef dH = common.heads.tensor(args, "dH", common.heads.numValues());
  const TensorRef dht = common.heads.optional(args, "dht", common.numState());
  const TensorRef dq = common.heads.tensor(args, "dq", common.heads.numKeys());
  const TensorRef dk = common.heads.tensor(args, "dk", common.heads.numKeys());
  const TensorRef dv = common.heads.tensor(args, "dv", common.heads.numValues());
  const TensorRef di = common.heads.tensor(args, "di", common.heads.numTokens());
  const TensorRef df = common.heads.tensor(args, "df", common.heads.numTokens());
  const TensorRef dh0 = common.heads.optional(args, "dh0", common.numState());
  dispatchFloat(args, common.heads.q.dtype, [&](auto zero) {
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
