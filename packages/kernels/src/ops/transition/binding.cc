#include "../../addon/args.h"
#include "transition.h"

namespace longscan {

namespace {

Napi::Value bindTransitionApply(Args& args) {
  args.stream();
  const TensorRef factor = args.optionalTensor("factor");
  const TensorRef reset = args.optionalTensor("reset");
  const TensorRef E = args.tensor("E");
  const TensorRef S = args.tensor("S");
  const TensorRef out = args.tensor("out");
  const int64_t begin = args.integer("begin");
  const int64_t end = args.integer("end");
  args.check(E.numDims == 4 && S.numElements == E.numElements && out.numElements == E.numElements,
             "E, S and out are not states [B, H, V, K] of one shape");
  const int64_t B = E.dim(0), H = E.dim(1), V = E.dim(2), K = E.dim(3);
  args.checkSameType(E, S);
  args.checkSameType(E, out);
  args.check(begin >= 0 && begin <= end && end <= B * H * V, "rows outside of the state");
  const int64_t factorLength = factor ? factor.numElements / (B * H) : 0;
  if (factor) {
    args.checkSameType(E, factor);
    args.check(factor.numElements == B * H * factorLength && (factorLength == 1 || factorLength == K),
               "factor is neither [B, H] nor [B, H, K]");
  }
  if (reset) {
    args.checkSameType(E, reset);
    args.check(reset.numElements == B, "reset is not [B]");
  }
  dispatchFloat(args, E.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const TransitionApply<Real> task{V,
                                     H,
                                     K,
                                     factorLength,
                                     factor.as<Real>(),
                                     reset.as<Real>(),
                                     E.as<Real>(),
                                     S.as<Real>(),
                                     out.as<Real>()};
    // On the thread of the stream alone: it runs on communication streams, beside the compute threads.
    args.enqueue([=] { transitionApply(task, begin, end); });
  });
  return args.env().Undefined();
}

}  // namespace

void register_transition(Registry& registry) {
  registry.add("transitionApply", 8, bindTransitionApply);
}

}  // namespace longscan
