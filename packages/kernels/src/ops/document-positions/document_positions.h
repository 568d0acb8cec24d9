#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Rows [begin, end) of positions [B, T]: tokens of the same document before each. Row b goes on from
// `before[b]` tokens (null: `start` in every row) until its first reset; `resets` [B, T] may be null.
LONGSCAN_KERNEL(documentPositions,
                (const int32_t* resets, const int32_t* before, int32_t start, int32_t* positions, int64_t T,
                 int64_t begin, int64_t end),
                (resets, before, start, positions, T, begin, end))
// starts[i] = 1 where a chunk of a document begins, else 0.
LONGSCAN_KERNEL(chunkStarts,
                (const int32_t* positions, int32_t chunk, int32_t* starts, int64_t begin, int64_t end),
                (positions, chunk, starts, begin, end))
