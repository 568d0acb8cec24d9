#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Rows [begin, end) of y [outer, length, bytes]: y[o, i] = x[o, length - 1 - i]; a row is one (o, i).
LONGSCAN_KERNEL(flip, (const char* x, char* y, int64_t length, int64_t bytes, int64_t begin, int64_t end),
                (x, y, length, bytes, begin, end))
