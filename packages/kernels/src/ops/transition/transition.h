#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// out = reset ? E : M S + E on rows of a state [B, H, V, K]: a row is one element of the flattened free axis
/// (B, H, V), so any range of rows is one contiguous block of the wire.
template <typename Real>
struct TransitionApply {
  int64_t rowsPerHead;    // V
  int64_t headsPerBatch;  // H
  int64_t rowLength;      // K
  int64_t factorLength;   // per head: 0 identity, 1 scalar, K diagonal
  const Real* factor;     // [B, H, factorLength]
  const Real* reset;      // [B] or null
  const Real* E;          // [B, H, V, K]
  const Real* S;          // [B, H, V, K], may be `out`
  Real* out;              // [B, H, V, K]
};

}  // namespace longscan

LONGSCAN_KERNEL(transitionApply, (const TransitionApply<float>& task, int64_t begin, int64_t end),
                (task, begin, end))
LONGSCAN_KERNEL(transitionApply, (const TransitionApply<double>& task, int64_t begin, int64_t end),
                (task, begin, end))
