#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {
template <typename T>
struct SwigluGradients {
  T* dgate;
  T* dup;
  T* y;  // as the forward pass gave it, or null: not wanted; may be dy
};
}  // namespace longscan

// Elements [begin, end) of flat arrays: y = silu(gate) * up, silu(x) = x / (1 + e^-x).
LONGSCAN_KERNEL(swigluForward, (const float* gate, const float* up, float* y, int64_t begin, int64_t end),
                (gate, up, y, begin, end))
LONGSCAN_KERNEL(swigluForward, (const double* gate, const double* up, double* y, int64_t begin, int64_t end),
                (gate, up, y, begin, end))
LONGSCAN_KERNEL(swigluBackward,
                (const float* dy, const float* gate, const float* up, const SwigluGradients<float>& to,
                 int64_t begin, int64_t end),
                (dy, gate, up, to, begin, end))
LONGSCAN_KERNEL(swigluBackward,
                (const double* dy, const double* gate, const double* up, const SwigluGradients<double>& to,
                 int64_t begin, int64_t end),
                (dy, gate, up, to, begin, end))
