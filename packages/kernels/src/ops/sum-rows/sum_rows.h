#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Columns [begin, end): y[c] (+)= sum of x[r, c] over all rows of x [rows, cols].
LONGSCAN_KERNEL(sumRows,
                (const float* x, float* y, int64_t rows, int64_t cols, bool accumulate, int64_t begin,
                 int64_t end),
                (x, y, rows, cols, accumulate, begin, end))
LONGSCAN_KERNEL(sumRows,
                (const double* x, double* y, int64_t rows, int64_t cols, bool accumulate, int64_t begin,
                 int64_t end),
                (x, y, rows, cols, accumulate, begin, end))
