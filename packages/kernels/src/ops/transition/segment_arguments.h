#pragma once

#include "../../addon/args.h"
#include "cuda.h"
#include "transition.h"

namespace longscan {

/// A segment as it stands among the arguments of a native function: `kind, transposed, factor, rates, reset,
/// E`, checked against each other.
struct SegmentArguments {
  TransitionKind kind;
  bool transposed;
  TensorRef factor, rates, reset;  // may be empty
  TensorRef E;                     // [B, H, R, N]

  /// Elements of the factor per head with rows of N numbers.
  static int64_t factorLength(TransitionKind kind, int64_t N);

  explicit SegmentArguments(Args& args);

  int64_t numRows() const { return E.numRows(); }
  /// For kernels on a GPU, S and out left open. Throws E-ARGUMENT if the state is not f32.
  LongscanTransition onGpu(const Args& args) const;
};

}  // namespace longscan
