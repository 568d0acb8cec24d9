#pragma once

#include <cstddef>
#include <cstdint>

#include "../../core/cpu.h"

namespace longscan {

/// y = x W^T for each of G blocks of features by itself: x [numRows, G, in], W [G, out, in], y [numRows, G,
/// out].
struct BlockLinear {
  int64_t numRows, G;
  int in, out;
};

/// Rows that are transposed and multiplied at once.
constexpr int blockLinearRows = 64;

inline size_t blockLinearScratchBytes(const BlockLinear& shape, size_t elementBytes) {
  return static_cast<size_t>(shape.in + shape.out) * blockLinearRows * elementBytes;
}

}  // namespace longscan

// Each works on the blocks [begin, end) of all rows; `scratch` is 64-byte aligned.
#define LONGSCAN_BLOCK_LINEAR(Real)                                                                       \
  LONGSCAN_KERNEL(blockLinearForward,                                                                     \
                  (const BlockLinear& shape, const Real* x, const Real* weight, Real* y, int64_t begin,   \
                   int64_t end, void* scratch),                                                           \
                  (shape, x, weight, y, begin, end, scratch))                                             \
  LONGSCAN_KERNEL(blockLinearInputGrad,                                                                   \
                  (const BlockLinear& shape, const Real* dy, const Real* weight, Real* dx, int64_t begin, \
                   int64_t end, void* scratch),                                                           \
                  (shape, dy, weight, dx, begin, end, scratch))                                           \
  LONGSCAN_KERNEL(blockLinearWeightGrad,                                                                  \
                  (const BlockLinear& shape, const Real* x, const Real* dy, Real* dw, bool accumulate,    \
                   int64_t begin, int64_t end, void* scratch),                                            \
                  (shape, x, dy, dw, accumulate, begin, end, scratch))
LONGSCAN_BLOCK_LINEAR(float)
LONGSCAN_BLOCK_LINEAR(double)
#undef LONGSCAN_BLOCK_LINEAR
