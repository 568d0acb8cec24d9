#pragma once

#include "../../addon/args.h"
#include "delta_rule.h"

namespace longscan {

/// The arguments that functions of all heads, on CPUs and GPUs, begin with: stream, gate, erase, read, scale,
/// q, k, v, beta, g, b, e, resets. Checked as far as both want the same; beta and g are of another type on a
/// GPU.
struct DeltaArguments {
  Stream& stream;
  DeltaGate gate;
  DeltaErase erase;
  DeltaRead read;
  double scale;
  TensorRef q, k, v, beta, g, b, e, resets;
  int64_t B, T, n, H, K, V;

  explicit DeltaArguments(Args& args)
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
    for (const int64_t size : {n, H, K, V}) args.check(size < limit, "sizes are too large");
    args.checkSize(k, k, B * T * n * H * K, "k");
    args.checkSize(v, k, B * T * n * H * V, "v");
    args.checkSize(q, k, B * T * H * (read == DeltaRead::key ? K : V), "q");
    args.checkSize(b, k, k.numElements, "b");
    args.checkSize(e, k, k.numElements, "e");
    args.check(bool(b) == (erase != DeltaErase::key) && bool(e) == (erase == DeltaErase::dplr),
               "b and e do not fit what erases");
    args.checkResets(resets, B, T);
  }

  int64_t stateSize() const { return B * H * K * V; }
  int64_t outputSize() const { return B * T * H * (read == DeltaRead::key ? V : K); }

 private:
  static constexpr int64_t limit = 1 << 24;
};

}  // namespace longscan
