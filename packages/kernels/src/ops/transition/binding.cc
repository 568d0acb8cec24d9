#include "../../addon/args.h"
#include "compose.h"
#include "cuda.h"

namespace longscan {

namespace {

/// Elements of the factor per head.
int64_t factorLength(TransitionKind kind, int64_t N) {
  switch (kind) {
    case TransitionKind::identity:
      return 0;
    case TransitionKind::diagonal:
    case TransitionKind::fixedComplex:
      return N;
    case TransitionKind::dense:
      return N * N;
    default:
      return 1;
  }
}

bool isF32(const TensorRef& tensor) {
  return tensor.dtype == DType::f32;
}

Napi::Value bindTransitionApply(Args& args) {
  args.stream();
  const auto kind = static_cast<TransitionKind>(args.integer("kind"));
  const bool transposed = args.integer("transposed") != 0;
  const TensorRef factor = args.optionalTensor("factor");
  const TensorRef rates = args.optionalTensor("rates");
  const TensorRef reset = args.optionalTensor("reset");
  const TensorRef E = args.tensor("E");
  const TensorRef S = args.tensor("S");
  const TensorRef out = args.tensor("out");
  const int64_t begin = args.integer("begin");
  const int64_t end = args.integer("end");
  args.check(kind >= TransitionKind::identity && kind <= TransitionKind::logMax, "unknown kind");
  args.check(E.numDims == 4 && S.numElements == E.numElements && out.numElements == E.numElements,
             "E, S and out are not states [B, H, R, N] of one shape");
  const int64_t B = E.dim(0), H = E.dim(1), R = E.dim(2), N = E.dim(3);
  args.checkSameType(E, S);
  args.checkSameType(E, out);
  args.check(begin >= 0 && begin <= end && end <= B * H * R, "rows outside of the state");
  args.check(N <= (kind == TransitionKind::dense ? maxDenseLength : maxRowLength), "rows are too long");
  args.check(kind != TransitionKind::fixedComplex || N % 2 == 0, "rows are not complex numbers");
  args.check(!(transposed && kind == TransitionKind::logMax),
             "log-max has no transpose: its adjoint is scalar");
  args.check(factor.numElements == B * H * factorLength(kind, N), "factor does not fit its kind");
  if (factor) args.checkSameType(E, factor);
  args.check(rates.numElements == (kind == TransitionKind::expDiagonal ? H * N : 0),
             "rates do not fit the kind");
  if (rates) args.checkSameType(E, rates);
  if (reset) {
    args.checkSameType(E, reset);
    args.check(reset.numElements == B, "reset is not [B]");
  }
  if (args.onGpu()) {
    args.check(isF32(E), "on a GPU states are f32");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanTransitionApply);
    const LongscanTransition task{static_cast<int>(kind),
                                  transposed,
                                  R,
                                  H,
                                  N,
                                  factor.as<float>(),
                                  rates.as<float>(),
                                  reset.as<float>(),
                                  E.as<float>(),
                                  S.as<float>(),
                                  out.as<float>()};
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&task, begin, end, stream); });
    return args.env().Undefined();
  }
  dispatchFloat(args, E.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const TransitionApply<Real> task{kind,
                                     transposed,
                                     R,
                                     H,
                                     N,
                                     factor.as<Real>(),
                                     rates.as<Real>(),
                                     reset.as<Real>(),
                                     E.as<Real>(),
                                     S.as<Real>(),
                                     out.as<Real>()};
    // On the thread of the stream alone: it runs on communication streams, beside the compute threads.
    args.enqueue([=] { transitionApply(task, begin, end); });
  });
  return args.env().Undefined();
}

Napi::Value bindTransitionCompose(Args& args) {
  args.stream();
  const auto kind = static_cast<TransitionKind>(args.integer("kind"));
  const bool transposed = args.integer("transposed") != 0;
  const int64_t N = args.integer("rowLength");
  const TensorRef earlier = args.tensor("earlier");
  const TensorRef later = args.tensor("later");
  const TensorRef out = args.tensor("out");
  args.check(kind > TransitionKind::identity && kind <= TransitionKind::logMax, "no kind with a factor");
  args.check(N >= 1 && N <= maxRowLength, "rows are too long");
  const int64_t perHead = factorLength(kind, N);
  const int64_t numHeads = out.numElements / perHead;
  args.check(out.numElements == numHeads * perHead && earlier.numElements == out.numElements &&
                 later.numElements == out.numElements,
             "the factors do not fit their kind");
  args.checkSameType(out, earlier);
  args.checkSameType(out, later);
  if (args.onGpu()) {
    args.check(isF32(out), "on a GPU factors are f32");
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanTransitionCompose);
    args.enqueueLaunch([=](CUstream_st* stream) {
      return kernel(static_cast<int>(kind), transposed, numHeads, N, earlier.as<float>(), later.as<float>(),
                    out.as<float>(), stream);
    });
    return args.env().Undefined();
  }
  dispatchFloat(args, out.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const TransitionCompose<Real> task{kind,          transposed, N, earlier.as<Real>(), later.as<Real>(),
                                       out.as<Real>()};
    args.enqueue([=] { transitionCompose(task, 0, numHeads); });
  });
  return args.env().Undefined();
}

}  // namespace

void register_transition(Registry& registry) {
  registry.add("transitionApply", 11, bindTransitionApply);
  registry.add("transitionCompose", 7, bindTransitionCompose);
}

}  // namespace longscan
