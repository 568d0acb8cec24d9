#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Rows [begin, end) of y [inner, outer, bytes]: y[i, o] = x[o, i] for x [outer, inner, bytes]; a row is one
// (i, o).
LONGSCAN_KERNEL(swapAxes,
                (const char* x, char* y, int64_t outer, int64_t inner, int64_t bytes, int64_t begin,
                 int64_t end),
                (x, y, outer, inner, bytes, begin, end))
