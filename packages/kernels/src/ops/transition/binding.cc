#include "../../addon/args.h"
#include "compose.h"
#include "cuda.h"
#include "segment_arguments.h"

namespace longscan {

namespace {

Napi::Value bindTransitionApply(Args& args) {
  args.stream();
  const SegmentArguments segment(args);
  const TensorRef& E = segment.E;
  const TensorRef S = args.tensor("S");
  const TensorRef out = args.tensor("out");
  const int64_t begin = args.integer("begin");
  const int64_t end = args.integer("end");
  args.check(S.numElements == E.numElements && out.numElements == E.numElements,
             "S and out are not of E's shape");
  args.checkSameType(E, S);
  args.checkSameType(E, out);
  args.check(begin >= 0 && begin <= end && end <= segment.numRows(), "rows outside of the state");
  if (args.onGpu()) {
    const auto kernel = LONGSCAN_CUDA_FUNCTION(args, longscanTransitionApply);
    LongscanTransition task = segment.onGpu(args);
    task.S = S.as<float>();
    task.out = out.as<float>();
    args.enqueueLaunch([=](CUstream_st* stream) { return kernel(&task, begin, end, stream); });
    return args.env().Undefined();
  }
  dispatchFloat(args, E.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const TransitionApply<Real> task{segment.kind,
                                     segment.transposed,
                                     E.dim(2),
                                     E.dim(1),
                                     E.dim(3),
                                     segment.factor.as<Real>(),
                                     segment.rates.as<Real>(),
                                     segment.reset.as<Real>(),
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
  const int64_t perHead = SegmentArguments::factorLength(kind, N);
  const int64_t numHeads = out.numElements / perHead;
  args.check(out.numElements == numHeads * perHead && earlier.numElements == out.numElements &&
                 later.numElements == out.numElements,
             "the factors do not fit their kind");
  args.checkSameType(out, earlier);
  args.checkSameType(out, later);
  if (args.onGpu()) {
    args.check(out.dtype == DType::f32, "on a GPU factors are f32");
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
