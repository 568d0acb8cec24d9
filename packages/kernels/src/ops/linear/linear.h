#pragma once

#include <cstdint>

#include "../../core/cpu.h"

// Our own blocked matrix product, row-major, on one thread: C[m,n] = op(A)[m,k] * op(B)[k,n] + beta * C,
// where op(X) = Xᵀ if transX. The sum over k is taken in the same order for every element, whatever m and n
// are. beta = 0 does not read C. `scratch`: gemmScratchBytes bytes, 64-byte aligned.
LONGSCAN_KERNEL(gemmBlocked,
                (bool transA, bool transB, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                 const float* b, int64_t ldb, float beta, float* c, int64_t ldc, void* scratch),
                (transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc, scratch))
LONGSCAN_KERNEL(gemmBlocked,
                (bool transA, bool transB, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda,
                 const double* b, int64_t ldb, double beta, double* c, int64_t ldc, void* scratch),
                (transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc, scratch))
// Rows [begin, end) of y [rows, cols] become copies of bias [cols].
LONGSCAN_KERNEL(fillRows, (const float* bias, float* y, int64_t cols, int64_t begin, int64_t end),
                (bias, y, cols, begin, end))
LONGSCAN_KERNEL(fillRows, (const double* bias, double* y, int64_t cols, int64_t begin, int64_t end),
                (bias, y, cols, begin, end))

namespace longscan {
/// Room for the packed panels of gemmBlocked at any level and type.
constexpr int64_t gemmScratchBytes = 4 << 20;
}  // namespace longscan
