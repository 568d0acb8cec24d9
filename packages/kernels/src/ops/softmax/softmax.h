#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Rows [begin, end) of x, y [rows, cols]: y = exp(x - max) / Σ exp(x - max).
LONGSCAN_KERNEL(softmaxForward, (const float* x, float* y, int64_t cols, int64_t begin, int64_t end),
                (x, y, cols, begin, end))
LONGSCAN_KERNEL(softmaxForward, (const double* x, double* y, int64_t cols, int64_t begin, int64_t end),
                (x, y, cols, begin, end))
// The same over the `count` largest of each row, 0 for the others, in y and selected [rows, stride]: selected
// is 1 for the former. Both are 1 in the last `stride - cols` columns. Of equal elements the first is taken.
LONGSCAN_KERNEL(softmaxOfLargest,
                (const float* x, int64_t count, float* y, int32_t* selected, int64_t cols, int64_t stride,
                 int64_t begin, int64_t end),
                (x, count, y, selected, cols, stride, begin, end))
LONGSCAN_KERNEL(softmaxOfLargest,
                (const double* x, int64_t count, double* y, int32_t* selected, int64_t cols, int64_t stride,
                 int64_t begin, int64_t end),
                (x, count, y, selected, cols, stride, begin, end))
// dx = y (dy - Σ y dy) for both, over the first `cols` columns of dy and y [rows, stride].
LONGSCAN_KERNEL(softmaxBackward,
                (const float* dy, const float* y, float* dx, int64_t cols, int64_t stride, int64_t begin,
                 int64_t end),
                (dy, y, dx, cols, stride, begin, end))
LONGSCAN_KERNEL(softmaxBackward,
                (const double* dy, const double* y, double* dx, int64_t cols, int64_t stride, int64_t begin,
                 int64_t end),
                (dy, y, dx, cols, stride, begin, end))
