#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Products [begin, end) of a batch: c[m,n] = op(a) op(b), row-major, op(x) = xᵀ where it says so; a holds m·k
// numbers, b k·n. For the small matrices of recurrent states: nothing is packed or blocked.
LONGSCAN_KERNEL(batchedMatmul,
                (bool transA, bool transB, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                 float* c, int64_t begin, int64_t end),
                (transA, transB, m, n, k, a, b, c, begin, end))
LONGSCAN_KERNEL(batchedMatmul,
                (bool transA, bool transB, int64_t m, int64_t n, int64_t k, const double* a, const double* b,
                 double* c, int64_t begin, int64_t end),
                (transA, transB, m, n, k, a, b, c, begin, end))
