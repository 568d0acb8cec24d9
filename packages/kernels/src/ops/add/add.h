#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Elements [begin, end) of flat arrays. Sums and scaled sums, f32 and f64.
LONGSCAN_KERNEL(addForward, (const float* a, const float* b, float* y, int64_t begin, int64_t end),
                (a, b, y, begin, end))
LONGSCAN_KERNEL(addForward, (const double* a, const double* b, double* y, int64_t begin, int64_t end),
                (a, b, y, begin, end))
LONGSCAN_KERNEL(axpy, (float factor, const float* x, float* y, int64_t begin, int64_t end),
                (factor, x, y, begin, end))
LONGSCAN_KERNEL(axpy, (double factor, const double* x, double* y, int64_t begin, int64_t end),
                (factor, x, y, begin, end))
