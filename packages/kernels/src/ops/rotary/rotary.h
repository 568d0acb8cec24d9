#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// Pairs (x[i], x[i + K/2]) turned by the angle `sign · ⌊position / step⌋ · theta^(-2i/K)`.
template <typename Real>
struct Rotary {
  int64_t H, K;
  double theta, sign;
  int64_t step;
  const int32_t* positions;  // [rows], rows = B * T
  const Real* x;             // [rows, H, K]
  Real* y;
};

/// Bytes of scratch that one thread needs.
size_t rotaryScratchBytes(int64_t K);

}  // namespace longscan

// Rows [begin, end) of B * T.
LONGSCAN_KERNEL(rotary, (const Rotary<float>& task, int64_t begin, int64_t end, double* scratch),
                (task, begin, end, scratch))
LONGSCAN_KERNEL(rotary, (const Rotary<double>& task, int64_t begin, int64_t end, double* scratch),
                (task, begin, end, scratch))
