#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// h_t = exp(g_t) h_{t-1} + x_t per channel, over a slice of T tokens. All row-major.
template <typename Real>
struct VectorScan {
  int64_t B, T, C;
  const Real* x;          // [B, T, C]; null for the adjoint, which does not read it
  const Real* g;          // [B, T, C], log decay <= 0
  const int32_t* resets;  // [B, T], 1 where a document starts (the state is forgotten first), or null
};

/// The slice from the state `h0` (null: zero); with `logSums` also what it does to a state.
template <typename Real>
struct VectorScanForward {
  VectorScan<Real> call;
  const Real* h0;  // [B, C] or null
  Real* h;         // [B, T, C]; null: not wanted
  Real* state;     // [B, C]: the state after the slice
  /// Sums of the log decays of the channels at hand, in f64 because a slice may have a million tokens; or
  /// null.
  double* logSums;
};

/// The reverse sweep: the adjoint runs from `dht` (null: zero) to the start of the slice.
template <typename Real>
struct VectorScanBackward {
  VectorScan<Real> call;
  const Real* dh;   // [B, T, C], gradient of the outputs
  const Real* dht;  // [B, C] or null
  const Real* h;    // [B, T, C], the outputs; null: dx and dg are not wanted
  const Real* h0;   // [B, C] or null
  Real* dx;         // [B, T, C]
  Real* dg;         // [B, T, C]
  Real* dh0;        // [B, C]
};

}  // namespace longscan

// Channels [begin, end) of the B * C channels.
#define LONGSCAN_VECTOR_SCAN(name, Task)                                                           \
  LONGSCAN_KERNEL(name, (const Task<float>& task, int64_t begin, int64_t end), (task, begin, end)) \
  LONGSCAN_KERNEL(name, (const Task<double>& task, int64_t begin, int64_t end), (task, begin, end))
LONGSCAN_VECTOR_SCAN(vectorScanForward, VectorScanForward)
LONGSCAN_VECTOR_SCAN(vectorScanBackward, VectorScanBackward)
#undef LONGSCAN_VECTOR_SCAN
