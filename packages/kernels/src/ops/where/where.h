#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Rows [begin, end) of y [rows, size]: a's row where condition[row] is not 0, else b's; a null a or b is
// zeros.
LONGSCAN_KERNEL(selectRows,
                (const int32_t* condition, const char* a, const char* b, char* y, int64_t rowBytes,
                 int64_t begin, int64_t end),
                (condition, a, b, y, rowBytes, begin, end))
