#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Rows [begin, end). `cols` counts the columns without the extra last one.

// wide [rows, cols + 1] = v [rows, cols] with a last column of `last`.
LONGSCAN_KERNEL(widenRows,
                (const float* v, float* wide, int64_t cols, float last, int64_t begin, int64_t end),
                (v, wide, cols, last, begin, end))
LONGSCAN_KERNEL(widenRows,
                (const double* v, double* wide, int64_t cols, double last, int64_t begin, int64_t end),
                (v, wide, cols, last, begin, end))
// narrow [rows, cols] = wide [rows, cols + 1] without its last column.
LONGSCAN_KERNEL(narrowRows, (const float* wide, float* narrow, int64_t cols, int64_t begin, int64_t end),
                (wide, narrow, cols, begin, end))
LONGSCAN_KERNEL(narrowRows, (const double* wide, double* narrow, int64_t cols, int64_t begin, int64_t end),
                (wide, narrow, cols, begin, end))
// y [rows, cols] = o[:cols] / z, z = o[cols] pushed away from zero to ±eps.
LONGSCAN_KERNEL(normalizeForward,
                (const float* o, float* y, int64_t cols, float eps, int64_t begin, int64_t end),
                (o, y, cols, eps, begin, end))
LONGSCAN_KERNEL(normalizeForward,
                (const double* o, double* y, int64_t cols, double eps, int64_t begin, int64_t end),
                (o, y, cols, eps, begin, end))
// d_o [rows, cols + 1]
LONGSCAN_KERNEL(normalizeBackward,
                (const float* dy, const float* o, float* d_o, int64_t cols, float eps, int64_t begin,
                 int64_t end),
                (dy, o, d_o, cols, eps, begin, end))
LONGSCAN_KERNEL(normalizeBackward,
                (const double* dy, const double* o, double* d_o, int64_t cols, double eps, int64_t begin,
                 int64_t end),
                (dy, o, d_o, cols, eps, begin, end))
