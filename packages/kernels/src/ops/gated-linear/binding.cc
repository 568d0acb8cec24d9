#include <algorithm>

#include "../../addon/args.h"
#include "../../core/scratch.h"
#include "gated_linear.h"

namespace longscan {

size_t gatedLinearScratchBytes(int K, int V, size_t elementBytes) {
  const auto padded = [](int n) { return (static_cast<size_t>(n) + 15) / 16 * 16; };
  const size_t Kp = padded(K), Vp = padded(V);
  return sizeof(double) * 2 * Kp +
         elementBytes * (Kp * Vp + 16 * (9 * Kp + 2 * Vp + std::max(Kp, Vp)) + 4 * Kp + 3 * 256 + 16);
}

namespace {

/// Runs a kernel over all heads, a fixed share per thread, each with scratch of its own.
template <typename Task>
void runHeads(ThreadPool& pool, const Task& task, size_t elementBytes,
              void (*kernel)(const Task&, int64_t, int64_t, void*)) {
  const size_t bytes = gatedLinearScratchBytes(task.call.K, task.call.V, elementBytes);
  runWithScratch(pool, task.call.B * task.call.H, bytes,
                 [&](int64_t begin, int64_t end, void* scratch) { kernel(task, begin, end, scratch); });
}

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
    if (bonus) sized(args, bonus, H * K, "bonus");
    args.check(!resets || (resets.dtype == DType::i32 && resets.numElements == B * T),
               "resets is not i32 [B, T]");
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
  TensorRef state(Args& args, const char* name) const {
    return sized(args, args.tensor(name), B * H * K * V, name);
  }
  TensorRef optionalState(Args& args, const char* name) const {
    const TensorRef state = args.optionalTensor(name);
    return state ? sized(args, state, B * H * K * V, name) : state;
  }
  TensorRef values(Args& args, const char* name) const {
    return sized(args, args.tensor(name), v.numElements, name);
  }
  TensorRef keys(Args& args, const char* name) const {
    return sized(args, args.tensor(name), k.numElements, name);
  }
  /// Of each head for itself, [B, T, H, K].
  TensorRef channels(Args& args, const char* name) const {
    return sized(args, args.tensor(name), B * T * H * K, name);
  }
  TensorRef checkpoints(Args& args) const {
    const TensorRef tensor = args.optionalTensor("checkpoints");
    const int64_t numChunks = (T + decayChunk - 1) / decayChunk;
    return tensor ? sized(args, tensor, B * H * numChunks * K * V, "checkpoints") : tensor;
  }
  TensorRef sized(Args& args, const TensorRef& tensor, int64_t count, const char* name) const {
    args.checkSameType(k, tensor);
    args.check(tensor.numElements == count, std::string(name) + " has " + std::to_string(tensor.numElements) +
                                                " elements, expected " + std::to_string(count));
    return tensor;
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
  const TensorRef factor = args.optionalTensor("factor");
  const TensorRef reset = args.optionalTensor("reset");
  const TensorRef checkpoints = common.checkpoints(args);
  if (factor) {
    const int64_t perHead = common.decay == Decay::diagonal ? common.K : 1;
    common.sized(args, factor, common.B * common.H * perHead, "factor");
  }
  if (reset) common.sized(args, reset, common.B, "reset");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearSweep<Real> task{common.call<Real>(),   axis,
                                      reader.as<Real>(),     h0.as<Real>(),
                                      out.as<Real>(),        state.as<Real>(),
                                      factor.as<Real>(),     reset.as<Real>(),
                                      checkpoints.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<GatedLinearSweep<Real>>(pool, task, sizeof(Real), gatedLinearSweep); });
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
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearCorrect<Real> task{common.call<Real>(), axis, reader.as<Real>(), h0.as<Real>(),
                                        out.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<GatedLinearCorrect<Real>>(pool, task, sizeof(Real), gatedLinearCorrect); });
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  const Common common(args);
  const TensorRef q = common.keys(args, "q");
  const TensorRef dO = common.values(args, "dO");
  const TensorRef adjoint = common.state(args, "adjoint");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearAdjoint<Real> task{common.call<Real>(), q.as<Real>(), dO.as<Real>(), adjoint.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<GatedLinearAdjoint<Real>>(pool, task, sizeof(Real), gatedLinearAdjoint); });
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
  const TensorRef dg = args.optionalTensor("dg");
  const TensorRef dbonus = args.optionalTensor("dbonus");
  const TensorRef dh0 = common.optionalState(args, "dh0");
  if (dg) common.sized(args, dg, common.g.numElements, "dg");
  args.check(!dg || (checkpoints && common.decay >= Decay::scalar),
             "dg needs checkpoints and a decay per token");
  if (dbonus) common.sized(args, dbonus, common.B * common.H * common.K, "dbonus");
  args.check(!dbonus == !common.bonus, "dbonus and bonus go together");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearWriteGrad<Real> task{
        common.call<Real>(),    q.as<Real>(),   dq.as<Real>(),     dO.as<Real>(),
        checkpoints.as<Real>(), dht.as<Real>(), fromZero,          dk.as<Real>(),
        dv.as<Real>(),          dg.as<Real>(),  dbonus.as<Real>(), dh0.as<Real>()};
    args.enqueue([task, &pool] {
      runHeads<GatedLinearWriteGrad<Real>>(pool, task, sizeof(Real), gatedLinearWriteGrad);
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_gated_linear(Registry& registry) {
  registry.add("gatedLinearSweep", 16, bindSweep);
  registry.add("gatedLinearCorrect", 12, bindCorrect);
  registry.add("gatedLinearAdjoint", 11, bindAdjoint);
  registry.add("gatedLinearWriteGrad", 19, bindWriteGrad);
}

}  // namespace longscan
