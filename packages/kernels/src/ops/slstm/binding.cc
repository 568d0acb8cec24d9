#include "../../addon/args.h"
#include "../../core/scratch.h"
#include "slstm.h"

namespace longscan {

size_t slstmScratchBytes(int N, size_t elementBytes) {
  const size_t Np = (static_cast<size_t>(N) + 15) / 16 * 16;
  return elementBytes * Np * (3 * 4 * Np + 3 * 4 + 4 + 16 * (4 + 1));
}

namespace {

/// The arguments that every function here begins with: stream, gates, recurrent, resets, h0.
struct Common {
  Stream& stream;
  TensorRef gates, recurrent, resets, h0;
  int64_t B, T, H, N;

  explicit Common(Args& args)
      : stream(args.stream()),
        gates(args.tensor("gates")),
        recurrent(args.tensor("recurrent")),
        resets(args.optionalTensor("resets")),
        h0(args.optionalTensor("h0")) {
    args.check(gates.numDims == 5 && gates.dim(3) == 4, "gates is not [B, T, H, 4, N]");
    B = gates.dim(0), T = gates.dim(1), H = gates.dim(2), N = gates.dim(4);
    args.check(N >= 1 && N <= 4096, "the head size is not between 1 and 4096");
    sized(args, recurrent, H * N * 4 * N, "recurrent");
    args.check(!resets || (resets.dtype == DType::i32 && resets.numElements == B * T),
               "resets is not i32 [B, T]");
    sized(args, h0, numState(), "h0");
  }

  /// Of one number per token and unit.
  int64_t numUnits() const { return B * T * H * N; }
  int64_t numState() const { return B * H * 4 * N; }

  template <typename Real>
  Slstm<Real> call() const {
    return {B, T, H, static_cast<int>(N), gates.as<Real>(), recurrent.as<Real>(), resets.as<int32_t>()};
  }

  /// `tensor` as it came, null included.
  TensorRef sized(Args& args, const TensorRef& tensor, int64_t count, const char* name) const {
    if (!tensor) return tensor;
    args.checkSameType(gates, tensor);
    args.check(tensor.numElements == count, std::string(name) + " has " + std::to_string(tensor.numElements) +
                                                " elements, expected " + std::to_string(count));
    return tensor;
  }
  TensorRef tensor(Args& args, const char* name, int64_t count) const {
    return sized(args, args.tensor(name), count, name);
  }
  TensorRef optional(Args& args, const char* name, int64_t count) const {
    return sized(args, args.optionalTensor(name), count, name);
  }

  template <typename Task>
  void enqueue(Args& args, const Task& task, void (*kernel)(const Task&, int64_t, int64_t, void*)) const {
    ThreadPool& pool = stream.context().pool();
    const size_t bytes = slstmScratchBytes(static_cast<int>(N), dtypeBytes(gates.dtype));
    args.enqueue([task, kernel, bytes, &pool] {
      runWithScratch(pool, task.call.B * task.call.H, bytes,
                     [&](int64_t begin, int64_t end, void* scratch) { kernel(task, begin, end, scratch); });
    });
  }
};

Napi::Value bindForward(Args& args) {
  const Common common(args);
  const TensorRef h = common.tensor(args, "h", common.numUnits());
  const TensorRef sums = common.tensor(args, "sums", 4 * common.numUnits());
  const TensorRef cells = common.tensor(args, "cells", 3 * common.numUnits());
  const TensorRef state = common.tensor(args, "state", common.numState());
  dispatchFloat(args, common.gates.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const SlstmForward<Real> task{common.call<Real>(), common.h0.as<Real>(), h.as<Real>(),
                                  sums.as<Real>(),     cells.as<Real>(),     state.as<Real>()};
    common.enqueue<SlstmForward<Real>>(args, task, slstmForward);
  });
  return args.env().Undefined();
}

Napi::Value bindBackward(Args& args) {
  const Common common(args);
  const TensorRef h = common.tensor(args, "h", common.numUnits());
  const TensorRef sums = common.tensor(args, "sums", 4 * common.numUnits());
  const TensorRef cells = common.tensor(args, "cells", 3 * common.numUnits());
  const TensorRef dH = common.tensor(args, "dH", common.numUnits());
  const TensorRef dht = common.optional(args, "dht", common.numState());
  const TensorRef dGates = common.tensor(args, "dGates", 4 * common.numUnits());
  const TensorRef dRecurrent = common.tensor(args, "dRecurrent", common.B * common.recurrent.numElements);
  const TensorRef dh0 = common.optional(args, "dh0", common.numState());
  dispatchFloat(args, common.gates.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const SlstmBackward<Real> task{
        common.call<Real>(), common.h0.as<Real>(), h.as<Real>(),      sums.as<Real>(),       cells.as<Real>(),
        dH.as<Real>(),       dht.as<Real>(),       dGates.as<Real>(), dRecurrent.as<Real>(), dh0.as<Real>()};
    common.enqueue<SlstmBackward<Real>>(args, task, slstmBackward);
  });
  return args.env().Undefined();
}

}  // namespace

void register_slstm(Registry& registry) {
  registry.add("slstmForward", 9, bindForward);
  registry.add("slstmBackward", 13, bindBackward);
}

}  // namespace longscan
