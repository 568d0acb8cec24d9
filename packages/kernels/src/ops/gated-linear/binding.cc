#include <algorithm>
#include <cstdlib>
#include <memory>

#include "../../addon/args.h"
#include "../../core/error.h"
#include "gated_linear.h"

namespace longscan {

size_t gatedLinearScratchBytes(int K, int V, size_t elementBytes) {
  const auto padded = [](int n) { return (static_cast<size_t>(n) + 15) / 16 * 16; };
  const size_t Kp = padded(K), Vp = padded(V);
  return sizeof(double) * Kp +
         elementBytes * (Kp * Vp + 16 * (9 * Kp + 2 * Vp + std::max(Kp, Vp)) + 3 * Kp + 3 * 256);
}

namespace {

/// Runs a kernel over all heads, a fixed share per thread, each with scratch of its own.
template <typename Task>
void runHeads(ThreadPool& pool, const Task& task, size_t elementBytes,
              void (*kernel)(const Task&, int64_t, int64_t, void*)) {
  const size_t bytes = (gatedLinearScratchBytes(task.call.K, task.call.V, elementBytes) + 63) / 64 * 64;
  pool.run(task.call.B * task.call.H, [&](int64_t begin, int64_t end) {
    std::unique_ptr<void, decltype(&std::free)> scratch(std::aligned_alloc(64, bytes), &std::free);
    if (scratch == nullptr)
      throw longscan::Error("E-MEMORY", "no memory for " + std::to_string(bytes) + " bytes of scratch");
    kernel(task, begin, end, scratch.get());
  });
}

/// The arguments that every function here begins with: stream, decay, scale, q, k, v, g, resets.
struct Common {
  Stream& stream;
  Decay decay;
  double scale;
  TensorRef q, k, v, g, resets;
  int64_t B, T, H, K, V;

  explicit Common(Args& args)
      : stream(args.stream()),
        decay(static_cast<Decay>(args.integer("decay"))),
        scale(args.number("scale")),
        q(args.tensor("q")),
        k(args.tensor("k")),
        v(args.tensor("v")),
        g(args.optionalTensor("g")),
        resets(args.optionalTensor("resets")) {
    args.check(q.numDims == 4 && v.numDims == 4, "q, k and v have 4 dims");
    B = q.dim(0), T = q.dim(1), H = q.dim(2), K = q.dim(3), V = v.dim(3);
    args.check(k.shape == q.shape && v.dim(0) == B && v.dim(1) == T && v.dim(2) == H,
               "q, k and v do not fit");
    args.check(K >= 1 && V >= 1 && K <= 4096 && V <= 4096, "head sizes are not between 1 and 4096");
    args.check(decay >= Decay::identity && decay <= Decay::diagonal, "unknown decay");
    args.checkSameType(q, k);
    args.checkSameType(q, v);
    const int64_t expected = decay == Decay::identity      ? 0
                             : decay == Decay::fixedScalar ? H
                             : decay == Decay::scalar      ? B * T * H
                                                           : B * T * H * K;
    args.check(g.numElements == expected && (g ? g.dtype == q.dtype : expected == 0),
               "g does not fit its decay");
    args.check(!resets || (resets.dtype == DType::i32 && resets.numElements == B * T),
               "resets is not i32 [B, T]");
  }

  template <typename Real>
  GatedLinear<Real> call() const {
    return {B,
            T,
            H,
            static_cast<int>(K),
            static_cast<int>(V),
            decay,
            static_cast<Real>(scale),
            q.as<Real>(),
            k.as<Real>(),
            v.as<Real>(),
            g.as<Real>(),
            resets.as<int32_t>()};
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
    return sized(args, args.tensor(name), q.numElements, name);
  }
  TensorRef checkpoints(Args& args) const {
    const TensorRef tensor = args.optionalTensor("checkpoints");
    const int64_t numChunks = (T + decayChunk - 1) / decayChunk;
    return tensor ? sized(args, tensor, B * H * numChunks * K * V, "checkpoints") : tensor;
  }
  TensorRef sized(Args& args, const TensorRef& tensor, int64_t count, const char* name) const {
    args.checkSameType(q, tensor);
    args.check(tensor.numElements == count, std::string(name) + " has " + std::to_string(tensor.numElements) +
                                                " elements, expected " + std::to_string(count));
    return tensor;
  }
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const TensorRef h0 = common.optionalState(args, "h0");
  const TensorRef o = common.values(args, "o");
  const TensorRef state = common.state(args, "state");
  const TensorRef factor = args.optionalTensor("factor");
  const TensorRef reset = args.optionalTensor("reset");
  if (factor) {
    const int64_t perHead = common.decay == Decay::diagonal ? common.K : 1;
    common.sized(args, factor, common.B * common.H * perHead, "factor");
  }
  if (reset) common.sized(args, reset, common.B, "reset");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearForward<Real> task{common.call<Real>(), h0.as<Real>(),     o.as<Real>(),
                                        state.as<Real>(),    factor.as<Real>(), reset.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<GatedLinearForward<Real>>(pool, task, sizeof(Real), gatedLinearForward); });
  });
  return args.env().Undefined();
}

Napi::Value bindCorrect(Args& args) {
  const Common common(args);
  const TensorRef h0 = common.state(args, "h0");
  const TensorRef o = common.values(args, "o");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearCorrect<Real> task{common.call<Real>(), h0.as<Real>(), o.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<GatedLinearCorrect<Real>>(pool, task, sizeof(Real), gatedLinearCorrect); });
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  const Common common(args);
  const TensorRef dO = common.values(args, "dO");
  const TensorRef adjoint = common.state(args, "adjoint");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearAdjoint<Real> task{common.call<Real>(), dO.as<Real>(), adjoint.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<GatedLinearAdjoint<Real>>(pool, task, sizeof(Real), gatedLinearAdjoint); });
  });
  return args.env().Undefined();
}

Napi::Value bindQueryGrad(Args& args) {
  const Common common(args);
  const TensorRef h0 = common.optionalState(args, "h0");
  const TensorRef dO = common.values(args, "dO");
  const TensorRef dq = common.keys(args, "dq");
  const TensorRef checkpoints = common.checkpoints(args);
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearQueryGrad<Real> task{common.call<Real>(), h0.as<Real>(), dO.as<Real>(), dq.as<Real>(),
                                          checkpoints.as<Real>()};
    args.enqueue([task, &pool] {
      runHeads<GatedLinearQueryGrad<Real>>(pool, task, sizeof(Real), gatedLinearQueryGrad);
    });
  });
  return args.env().Undefined();
}

Napi::Value bindKeyValueGrad(Args& args) {
  const Common common(args);
  const TensorRef dO = common.values(args, "dO");
  const TensorRef dq = common.keys(args, "dq");
  const TensorRef checkpoints = common.checkpoints(args);
  const TensorRef dht = common.optionalState(args, "dht");
  const TensorRef dk = common.keys(args, "dk");
  const TensorRef dv = common.values(args, "dv");
  const TensorRef dg = args.optionalTensor("dg");
  const TensorRef dh0 = common.optionalState(args, "dh0");
  if (dg) common.sized(args, dg, common.g.numElements, "dg");
  args.check(!dg || (checkpoints && common.decay >= Decay::scalar),
             "dg needs checkpoints and a decay per token");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.q.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const GatedLinearKeyValueGrad<Real> task{common.call<Real>(),    dO.as<Real>(),  dq.as<Real>(),
                                             checkpoints.as<Real>(), dht.as<Real>(), dk.as<Real>(),
                                             dv.as<Real>(),          dg.as<Real>(),  dh0.as<Real>()};
    args.enqueue([task, &pool] {
      runHeads<GatedLinearKeyValueGrad<Real>>(pool, task, sizeof(Real), gatedLinearKeyValueGrad);
    });
  });
  return args.env().Undefined();
}

}  // namespace

void register_gated_linear(Registry& registry) {
  registry.add("gatedLinearForward", 13, bindForward);
  registry.add("gatedLinearCorrect", 10, bindCorrect);
  registry.add("gatedLinearAdjoint", 10, bindAdjoint);
  registry.add("gatedLinearQueryGrad", 12, bindQueryGrad);
  registry.add("gatedLinearKeyValueGrad", 16, bindKeyValueGrad);
}

}  // namespace longscan
