#include <algorithm>

#include "../../addon/args.h"
#include "../../core/scratch.h"
#include "delta_rule.h"

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

/// Runs a kernel over all heads, a fixed share per thread, each with scratch of its own.
template <typename Task>
void runHeads(ThreadPool& pool, const Task& task, size_t elementBytes,
              void (*kernel)(const Task&, int64_t, int64_t, void*)) {
  const size_t bytes = deltaRuleScratchBytes(task.call.K, task.call.V, elementBytes);
  runWithScratch(pool, task.call.B * task.call.H, bytes,
                 [&](int64_t begin, int64_t end, void* scratch) { kernel(task, begin, end, scratch); });
}

/// The arguments that every function here begins with: stream, gate, erase, read, scale, q, k, v, beta, g, b,
/// e, resets.
struct Common {
  Stream& stream;
  DeltaGate gate;
  DeltaErase erase;
  DeltaRead read;
  double scale;
  TensorRef q, k, v, beta, g, b, e, resets;
  int64_t B, T, n, H, K, V;

  explicit Common(Args& args)
      : stream(args.stream()),
        gate(static_cast<DeltaGate>(args.integer("gate"))),
        erase(static_cast<DeltaErase>(args.integer("erase"))),
        read(static_cast<DeltaRead>(args.integer("read"))),
        scale(args.number("scale")),
        q(args.tensor("q")),
        k(args.tensor("k")),
        v(args.tensor("v")),
        beta(args.optionalTensor("beta")),
        g(args.optionalTensor("g")),
        b(args.optionalTensor("b")),
        e(args.optionalTensor("e")),
        resets(args.optionalTensor("resets")) {
    args.check(gate >= DeltaGate::none && gate <= DeltaGate::diagonal, "unknown gate");
    args.check(erase >= DeltaErase::key && erase <= DeltaErase::dplr, "unknown erase");
    args.check(read >= DeltaRead::key && read <= DeltaRead::value, "unknown read");
    args.check(q.numDims == 4 && k.numDims >= 4 && v.numDims >= 4, "q has 4 dims, k and v 4 or 5");
    B = q.dim(0), T = q.dim(1), H = q.dim(2), K = k.dim(-1), V = v.dim(-1);
    n = k.numDims == 4 ? 1 : k.dim(2);
    args.check(K >= 1 && V >= 1 && K <= 1024 && V <= 1024, "head sizes are not between 1 and 1024");
    args.check(n >= 1 && n <= 1024, "rows of a token are not between 1 and 1024");
    sized(args, k, B * T * n * H * K, "k");
    sized(args, v, B * T * n * H * V, "v");
    sized(args, q, B * T * H * (read == DeltaRead::key ? K : V), "q");
    if (beta) sized(args, beta, B * T * n * H, "beta");
    sized(args, g, gate == DeltaGate::none ? 0 : B * T * H * (gate == DeltaGate::scalar ? 1 : K), "g");
    sized(args, b, erase == DeltaErase::key ? 0 : k.numElements, "b");
    sized(args, e, erase == DeltaErase::dplr ? k.numElements : 0, "e");
    args.check(!resets || (resets.dtype == DType::i32 && resets.numElements == B * T),
               "resets is not i32 [B, T]");
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

  int64_t stateSize() const { return B * H * K * V; }
  int64_t outputSize() const { return B * T * H * (read == DeltaRead::key ? V : K); }
  int64_t checkpointsSize() const { return stateSize() * ((n * T + deltaChunk - 1) / deltaChunk); }

  /// Checks a tensor of `count` elements; a null one has none.
  void sized(Args& args, const TensorRef& tensor, int64_t count, const char* name) const {
    if (tensor) args.checkSameType(k, tensor);
    args.check(tensor.numElements == count, std::string(name) + " has " + std::to_string(tensor.numElements) +
                                                " elements, expected " + std::to_string(count));
  }
  TensorRef required(Args& args, const char* name, int64_t count) const {
    const TensorRef tensor = args.tensor(name);
    sized(args, tensor, count, name);
    return tensor;
  }
  TensorRef optional(Args& args, const char* name, int64_t count) const {
    const TensorRef tensor = args.optionalTensor(name);
    if (tensor) sized(args, tensor, count, name);
    return tensor;
  }
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const TensorRef h0 = common.optional(args, "h0", common.stateSize());
  const TensorRef o = common.optional(args, "o", common.outputSize());
  const TensorRef state = common.optional(args, "state", common.stateSize());
  const TensorRef factor = common.optional(args, "factor", common.B * common.H * common.K * common.K);
  const TensorRef checkpoints = common.optional(args, "checkpoints", common.checkpointsSize());
  args.check(!(o && factor), "not both o and factor");
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const DeltaRuleForward<Real> task{common.call<Real>(), h0.as<Real>(),     o.as<Real>(),
                                      state.as<Real>(),    factor.as<Real>(), checkpoints.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<DeltaRuleForward<Real>>(pool, task, sizeof(Real), deltaRuleForward); });
  });
  return args.env().Undefined();
}

Napi::Value bindAdjoint(Args& args) {
  const Common common(args);
  const TensorRef dO = common.required(args, "dO", common.outputSize());
  const TensorRef adjoint = common.required(args, "adjoint", common.stateSize());
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const DeltaRuleAdjoint<Real> task{common.call<Real>(), dO.as<Real>(), adjoint.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<DeltaRuleAdjoint<Real>>(pool, task, sizeof(Real), deltaRuleAdjoint); });
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const TensorRef dO = common.required(args, "dO", common.outputSize());
  const TensorRef checkpoints = common.required(args, "checkpoints", common.checkpointsSize());
  const TensorRef dht = common.optional(args, "dht", common.stateSize());
  const TensorRef dq = common.required(args, "dq", common.q.numElements);
  const TensorRef dk = common.required(args, "dk", common.k.numElements);
  const TensorRef dv = common.required(args, "dv", common.v.numElements);
  const TensorRef dbeta = common.optional(args, "dbeta", common.beta.numElements);
  const TensorRef dg = common.optional(args, "dg", common.g.numElements);
  const TensorRef db = common.optional(args, "db", common.b.numElements);
  const TensorRef de = common.optional(args, "de", common.e.numElements);
  const TensorRef dh0 = common.optional(args, "dh0", common.stateSize());
  ThreadPool& pool = common.stream.context().pool();
  dispatchFloat(args, common.k.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const DeltaRuleBackward<Real> task{common.call<Real>(), dO.as<Real>(),    checkpoints.as<Real>(),
                                       dht.as<Real>(),      dq.as<Real>(),    dk.as<Real>(),
                                       dv.as<Real>(),       dbeta.as<Real>(), dg.as<Real>(),
                                       db.as<Real>(),       de.as<Real>(),    dh0.as<Real>()};
    args.enqueue(
        [task, &pool] { runHeads<DeltaRuleBackward<Real>>(pool, task, sizeof(Real), deltaRuleBackward); });
  });
  return args.env().Undefined();
}

}  // namespace

void register_delta_rule(Registry& registry) {
  registry.add("deltaRuleForward", 18, bindForward);
  registry.add("deltaRuleAdjoint", 15, bindAdjoint);
  registry.add("deltaRuleBackward", 24, bindBackward);
}

}  // namespace longscan
