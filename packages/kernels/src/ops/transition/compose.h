#pragma once

#include "transition.h"

namespace longscan {

/// M of two runs of tokens, one after the other; factors as in `TransitionApply`.
template <typename Real>
struct TransitionCompose {
  TransitionKind kind;
  bool transposed;      // the maps are applied as their transposes
  int64_t rowLength;    // N
  const Real* earlier;  // the factor of the run that a state meets first
  const Real* later;
  Real* out;  // neither of the two
};

}  // namespace longscan

// Works on the heads [begin, end) of the B * H heads.
LONGSCAN_KERNEL(transitionCompose, (const TransitionCompose<float>& task, int64_t begin, int64_t end),
                (task, begin, end))
LONGSCAN_KERNEL(transitionCompose, (const TransitionCompose<double>& task, int64_t begin, int64_t end),
                (task, begin, end))
