#pragma once

#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// a [outer, middle, inner] meets b [middle].
struct BroadcastShape {
  int64_t outer;
  int64_t middle;
  int64_t inner;

  /// Contiguous rows of a: of `inner` numbers with one b, or, where inner is 1, of `middle` numbers with all
  /// b.
  int64_t numRows() const { return inner == 1 ? outer : outer * middle; }
  int64_t rowLength() const { return inner == 1 ? middle : inner; }
};

/// What one work item of `broadcastReduce` sums: outer rows, and elements of b; fixed, so that the result
/// does not depend on the number of threads. The first is `blockRows` in index.ts.
constexpr int64_t broadcastBlockRows = 64;
constexpr int64_t broadcastStretch = 64;

}  // namespace longscan

// Rows [begin, end) of y = a * b
LONGSCAN_KERNEL(broadcastMultiply,
                (const float* a, const float* b, float* y, BroadcastShape shape, int64_t begin, int64_t end),
                (a, b, y, shape, begin, end))
LONGSCAN_KERNEL(broadcastMultiply,
                (const double* a, const double* b, double* y, BroadcastShape shape, int64_t begin,
                 int64_t end),
                (a, b, y, shape, begin, end))
// Rows [begin, end) of y = a + factor * b
LONGSCAN_KERNEL(broadcastAdd,
                (float factor, const float* a, const float* b, float* y, BroadcastShape shape, int64_t begin,
                 int64_t end),
                (factor, a, b, y, shape, begin, end))
LONGSCAN_KERNEL(broadcastAdd,
                (double factor, const double* a, const double* b, double* y, BroadcastShape shape,
                 int64_t begin, int64_t end),
                (factor, a, b, y, shape, begin, end))
// partial [blocks, middle]: the sum of dy * a (dy alone if a is null) over each block of outer rows and over
// inner. Items [begin, end) are (block, stretch of middle), the stretch counting fastest.
LONGSCAN_KERNEL(broadcastReduce,
                (const float* dy, const float* a, float* partial, BroadcastShape shape, int64_t begin,
                 int64_t end),
                (dy, a, partial, shape, begin, end))
LONGSCAN_KERNEL(broadcastReduce,
                (const double* dy, const double* a, double* partial, BroadcastShape shape, int64_t begin,
                 int64_t end),
                (dy, a, partial, shape, begin, end))
// Outer rows [begin, end): y [outer, times, inner] = x [outer, inner], `times` times over.
LONGSCAN_KERNEL(repeatRows,
                (const float* x, float* y, int64_t times, int64_t inner, int64_t begin, int64_t end),
                (x, y, times, inner, begin, end))
LONGSCAN_KERNEL(repeatRows,
                (const double* x, double* y, int64_t times, int64_t inner, int64_t begin, int64_t end),
                (x, y, times, inner, begin, end))
// Outer rows [begin, end): dx [outer, inner] = the sum of dy [outer, times, inner] over `times`.
LONGSCAN_KERNEL(sumRepeats,
                (const float* dy, float* dx, int64_t times, int64_t inner, int64_t begin, int64_t end),
                (dy, dx, times, inner, begin, end))
LONGSCAN_KERNEL(sumRepeats,
                (const double* dy, double* dx, int64_t times, int64_t inner, int64_t begin, int64_t end),
                (dy, dx, times, inner, begin, end))
