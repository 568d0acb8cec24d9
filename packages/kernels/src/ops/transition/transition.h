#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// What M does to a row; the numbers are those of `transitionCodes` in index.ts.
enum class TransitionKind : int {
  identity = 0,
  scalar = 1,        // factor [B, H]
  diagonal = 2,      // factor [B, H, N]
  expDiagonal = 3,   // factor [B, H], rates [H, N]: exp(rates * factor)
  fixedComplex = 4,  // factor [B, H, N]: N / 2 complex numbers (re, im)
  dense = 5,         // factor [B, H, N, N]: row * factor
  logMax = 6,        // factor [B, H]; the last number of a row is the log of its scale
};

/// Bounds of the copies that a kernel keeps on its stack.
constexpr int64_t maxRowLength = 8192;
constexpr int64_t maxDenseLength = 1024;

/// out = reset ? E : M S + E on rows of a state [B, H, R, N]: a row is one element of the flattened free axis
/// (B, H, R), so any range of rows is one contiguous block of the wire.
template <typename Real>
struct TransitionApply {
  TransitionKind kind;
  bool transposed;        // M as its transpose
  int64_t rowsPerHead;    // R
  int64_t headsPerBatch;  // H
  int64_t rowLength;      // N
  const Real* factor;     // as the kind says
  const Real* rates;      // as the kind says
  const Real* reset;      // [B] or null
  const Real* E;          // [B, H, R, N]
  const Real* S;          // [B, H, R, N], may be `out`
  Real* out;              // [B, H, R, N]
};

}  // namespace longscan

LONGSCAN_KERNEL(transitionApply, (const TransitionApply<float>& task, int64_t begin, int64_t end),
                (task, begin, end))
LONGSCAN_KERNEL(transitionApply, (const TransitionApply<double>& task, int64_t begin, int64_t end),
                (task, begin, end))
