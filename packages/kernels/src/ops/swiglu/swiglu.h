#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Elements [begin, end) of flat arrays: y = silu(gate) * up, silu(x) = x / (1 + e^-x).
LONGSCAN_KERNEL(swigluForward, (const float* gate, const float* up, float* y, int64_t begin, int64_t end),
                (gate, up, y, begin, end))
LONGSCAN_KERNEL(swigluForward, (const double* gate, const double* up, double* y, int64_t begin, int64_t end),
                (gate, up, y, begin, end))
LONGSCAN_KERNEL(swigluBackward,
                (const float* dy, const float* gate, const float* up, float* dgate, float* dup, int64_t begin,
                 int64_t end),
                (dy, gate, up, dgate, dup, begin, end))
LONGSCAN_KERNEL(swigluBackward,
                (const double* dy, const double* gate, const double* up, double* dgate, double* dup,
                 int64_t begin, int64_t end),
                (dy, gate, up, dgate, dup, begin, end))
