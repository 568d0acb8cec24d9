#include "../../core/tile.h"
#include "block_linear.h"

// Rows are the vector lanes, so a block may be as small as it likes: 64 rows of one block are transposed,
// multiplied and transposed back.

namespace longscan {
namespace LONGSCAN_LEVEL {

constexpr int R = blockLinearRows;

/// Rows of n features, `stride` apart, into [n, R], padded with zeros.
template <typename Real>
static inline void transposeIn(const Real* from, int64_t stride, int numRows, int n, Real* to) {
  for (int i = 0; i < R; i++) {
    for (int c = 0; c < n; c++) to[c * R + i] = i < numRows ? from[i * stride + c] : Real(0);
  }
}

template <typename Real>
static inline void transposeOut(const Real* from, int numRows, int n, Real* to, int64_t stride) {
  for (int i = 0; i < numRows; i++) {
    for (int c = 0; c < n; c++) to[i * stride + c] = from[c * R + i];
  }
}

/// y [M, R] = A [M, n] x [n, R], A read as A[m * rowStride + c * colStride].
template <typename Real, int M>
static inline void multiplyRows(const Real* A, int rowStride, int colStride, int n, const Real* x, Real* y) {
  constexpr int step = 2 * Vec<Real>::width;
  for (int i = 0; i < R; i += step) {
    multiplyBlock<Real, M, 2, Old::drop>(n, A, rowStride, colStride, x + i, R, y + i, R, nullptr);
  }
}

/// to [numRows, G, out] = A from [numRows, G, in] for each block; A of a block is [out, in], or its transpose
/// [in, out].
template <typename Real>
static inline void multiplyBlocks(int64_t numRows, int64_t G, int in, int out, bool transposed, const Real* A,
                                  const Real* from, Real* to, int64_t begin, int64_t end, void* scratch) {
  Real* x = static_cast<Real*>(scratch);
  Real* y = x + in * R;
  const int rowStride = transposed ? 1 : in, colStride = transposed ? out : 1;
  for (int64_t row = 0; row < numRows; row += R) {
    const int count = numRows - row < R ? static_cast<int>(numRows - row) : R;
    for (int64_t g = begin; g < end; g++) {
      const Real* block = A + g * in * out;
      transposeIn(from + (row * G + g) * in, G * in, count, in, x);
      int o = 0;
      for (; o + 4 <= out; o += 4) {
        multiplyRows<Real, 4>(block + o * rowStride, rowStride, colStride, in, x, y + o * R);
      }
      for (; o < out; o++)
        multiplyRows<Real, 1>(block + o * rowStride, rowStride, colStride, in, x, y + o * R);
      transposeOut(y, count, out, to + (row * G + g) * out, G * out);
    }
  }
}

/// A block's gradient is summed over the rows by one thread, in their order.
template <typename Real>
static inline void weightGrad(const BlockLinear& shape, const Real* x, const Real* dy, Real* dw,
                              bool accumulate, int64_t begin, int64_t end, void* scratch) {
  const auto [numRows, G, in, out] = shape;
  Real* xT = static_cast<Real*>(scratch);
  Real* dyT = xT + in * R;
  if (!accumulate) {
    for (int64_t i = begin * in * out; i < end * in * out; i++) dw[i] = 0;
  }
  for (int64_t row = 0; row < numRows; row += R) {
    const int count = numRows - row < R ? static_cast<int>(numRows - row) : R;
    for (int64_t g = begin; g < end; g++) {
      transposeIn(x + (row * G + g) * in, G * in, count, in, xT);
      transposeIn(dy + (row * G + g) * out, G * out, count, out, dyT);
      for (int o = 0; o < out; o++) {
        for (int c = 0; c < in; c++) dw[(g * out + o) * in + c] += dotProduct(dyT + o * R, xT + c * R, R);
      }
    }
  }
}

#define LONGSCAN_BLOCK_LINEAR(Real)                                                                         \
  void blockLinearForward(const BlockLinear& shape, const Real* x, const Real* weight, Real* y,             \
                          int64_t begin, int64_t end, void* scratch) {                                      \
    multiplyBlocks(shape.numRows, shape.G, shape.in, shape.out, false, weight, x, y, begin, end, scratch);  \
  }                                                                                                         \
  void blockLinearInputGrad(const BlockLinear& shape, const Real* dy, const Real* weight, Real* dx,         \
                            int64_t begin, int64_t end, void* scratch) {                                    \
    multiplyBlocks(shape.numRows, shape.G, shape.out, shape.in, true, weight, dy, dx, begin, end, scratch); \
  }                                                                                                         \
  void blockLinearWeightGrad(const BlockLinear& shape, const Real* x, const Real* dy, Real* dw,             \
                             bool accumulate, int64_t begin, int64_t end, void* scratch) {                  \
    weightGrad(shape, x, dy, dw, accumulate, begin, end, scratch);                                          \
  }
LONGSCAN_BLOCK_LINEAR(float)
LONGSCAN_BLOCK_LINEAR(double)
#undef LONGSCAN_BLOCK_LINEAR

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
