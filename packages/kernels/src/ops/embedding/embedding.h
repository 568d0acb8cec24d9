#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Tokens [begin, end): rows of table [vocab, dim] copied to y [tokens, dim]. Every token must be in [0,
// vocab).
LONGSCAN_KERNEL(embeddingForward,
                (const int32_t* tokens, const float* table, float* y, int64_t dim, int64_t begin,
                 int64_t end),
                (tokens, table, y, dim, begin, end))
LONGSCAN_KERNEL(embeddingForward,
                (const int32_t* tokens, const double* table, double* y, int64_t dim, int64_t begin,
                 int64_t end),
                (tokens, table, y, dim, begin, end))
// Columns [begin, end), all tokens in order: dtable[tokens[t]] += dy[t].
LONGSCAN_KERNEL(embeddingScatter,
                (const int32_t* tokens, const float* dy, float* dtable, int64_t numTokens, int64_t dim,
                 int64_t begin, int64_t end),
                (tokens, dy, dtable, numTokens, dim, begin, end))
LONGSCAN_KERNEL(embeddingScatter,
                (const int32_t* tokens, const double* dy, double* dtable, int64_t numTokens, int64_t dim,
                 int64_t begin, int64_t end),
                (tokens, dy, dtable, numTokens, dim, begin, end))
