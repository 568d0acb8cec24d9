#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Elements [begin, end) of f32 numbers and their halves, see README.md.
LONGSCAN_KERNEL(joinHalves,
                (const uint16_t* high, const uint16_t* low, float* values, int64_t begin, int64_t end),
                (high, low, values, begin, end))
LONGSCAN_KERNEL(splitHalves, (const float* values, uint16_t* high, uint16_t* low, int64_t begin, int64_t end),
                (values, high, low, begin, end))
