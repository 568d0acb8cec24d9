#include "segment_arguments.h"

namespace longscan {

int64_t SegmentArguments::factorLength(TransitionKind kind, int64_t N) {
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

SegmentArguments::SegmentArguments(Args& args) {
  kind = static_cast<TransitionKind>(args.integer("kind"));
  transposed = args.integer("transposed") != 0;
  factor = args.optionalTensor("factor");
  rates = args.optionalTensor("rates");
  reset = args.optionalTensor("reset");
  E = args.tensor("E");
  args.check(kind >= TransitionKind::identity && kind <= TransitionKind::logMax, "unknown kind");
  args.check(E.numDims == 4, "E is not a state [B, H, R, N]");
  const int64_t B = E.dim(0), H = E.dim(1), N = E.dim(3);
  args.check(N <= (kind == TransitionKind::dense ? maxDenseLength : maxRowLength), "rows are too long");
  args.check(kind != TransitionKind::fixedComplex || N % 2 == 0, "rows are not complex numbers");
  args.check(!(transposed && kind == TransitionKind::logMax),
             "log-max has no transpose: its adjoint is scalar");
  args.check(factor.numElements == B * H * factorLength(kind, N), "factor does not fit its kind");
  if (factor) args.checkSameType(E, factor);
  args.check(rates.numElements == (kind == TransitionKind::expDiagonal ? H * N : 0),
             "rates do not fit the kind");
  if (rates) args.checkSameType(E, rates);
  if (!reset) return;
  args.checkSameType(E, reset);
  args.check(reset.numElements == B, "reset is not [B]");
}

LongscanTransition SegmentArguments::onGpu(const Args& args) const {
  args.check(E.dtype == DType::f32, "on a GPU states are f32");
  LongscanTransition task{};
  task.kind = static_cast<int>(kind);
  task.transposed = transposed;
  task.rowsPerHead = E.dim(2);
  task.headsPerBatch = E.dim(1);
  task.rowLength = E.dim(3);
  task.factor = factor.as<float>();
  task.rates = rates.as<float>();
  task.reset = reset.as<float>();
  task.E = E.as<float>();
  return task;
}

}  // namespace longscan
