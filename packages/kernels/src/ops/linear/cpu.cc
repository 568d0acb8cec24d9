#include "../../core/simd.h"
#include "linear.h"

// A blocked product after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008):
// A and B are packed into panels, and a register tile of C is updated by one broadcast of A times two vectors
// of B.
namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
struct Tile {
  // 24 or 12 accumulators: what fits into 32 or 16 vector registers beside two of B and one of A.
  static constexpr int rows = vectorBytes == 64 ? 12 : 6;
  static constexpr int cols = 2 * Vec<T>::width;
  // A packed tile of B (depth x cols) stays in the 32 KiB L1, a packed block of A in L2, the block of B in
  // L3.
  static constexpr int64_t depth = 192;
  static constexpr int64_t blockRows = 20 * rows;
  static constexpr int64_t blockCols = 2048 / static_cast<int64_t>(sizeof(T)) * 4;
};

static inline int64_t minOf(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/// Panels of `width` rows of op(X), each `[depth][width]`; rows beyond `count` are zero.
template <typename T>
static inline void pack(const T* x, int64_t rowStride, int64_t depthStride, int64_t count, int64_t depth,
                        int width, T* packed) {
  for (int64_t first = 0; first < count; first += width) {
    const int filled = static_cast<int>(minOf(width, count - first));
    const T* source = x + first * rowStride;
    if (rowStride == 1 && filled == width) {
      for (int64_t p = 0; p < depth; p++) {
        for (int i = 0; i < width; i++) packed[p * width + i] = source[p * depthStride + i];
      }
    } else {
      for (int i = 0; i < filled; i++) {
        for (int64_t p = 0; p < depth; p++) packed[p * width + i] = source[i * rowStride + p * depthStride];
      }
      for (int i = filled; i < width; i++) {
        for (int64_t p = 0; p < depth; p++) packed[p * width + i] = T(0);
      }
    }
    packed += depth * width;
  }
}

/// One tile: acc = packed A panel times packed B panel; c = acc + beta * c on its `rows x cols` corner.
template <typename T>
static inline void multiplyTile(const T* a, const T* b, int64_t depth, T beta, T* c, int64_t ldc,
                                int64_t rows, int64_t cols) {
  using V = Vec<T>;
  constexpr int R = Tile<T>::rows;
  constexpr int W = V::width;
  V acc[R][2];
#pragma GCC unroll 12
  for (int i = 0; i < R; i++) acc[i][0] = acc[i][1] = V::zero();
  for (int64_t p = 0; p < depth; p++) {
    const V b0 = V::load(b + p * 2 * W);
    const V b1 = V::load(b + p * 2 * W + W);
#pragma GCC unroll 12
    for (int i = 0; i < R; i++) {
      const V value = V::set(a[p * R + i]);
      acc[i][0] = acc[i][0] + value * b0;
      acc[i][1] = acc[i][1] + value * b1;
    }
  }
  if (rows == R && cols == 2 * W) {
#pragma GCC unroll 12
    for (int i = 0; i < R; i++) {
      T* row = c + i * ldc;
      if (beta != T(0)) {
        acc[i][0] = acc[i][0] + V::set(beta) * V::load(row);
        acc[i][1] = acc[i][1] + V::set(beta) * V::load(row + W);
      }
      acc[i][0].store(row);
      acc[i][1].store(row + W);
    }
    return;
  }
  T corner[R * 2 * W];
#pragma GCC unroll 12
  for (int i = 0; i < R; i++) {
    acc[i][0].store(corner + i * 2 * W);
    acc[i][1].store(corner + i * 2 * W + W);
  }
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < cols; j++) {
      const T old = beta != T(0) ? beta * c[i * ldc + j] : T(0);
      c[i * ldc + j] = corner[i * 2 * W + j] + old;
    }
  }
}

template <typename T>
static inline void gemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda,
                        const T* b, int64_t ldb, T beta, T* c, int64_t ldc, void* scratch) {
  using Block = Tile<T>;
  static_assert((Block::blockRows + Block::blockCols) * Block::depth * sizeof(T) <= gemmScratchBytes,
                "scratch");
  T* packedA = static_cast<T*>(scratch);
  T* packedB = packedA + Block::blockRows * Block::depth;
  const int64_t rowStrideA = transA ? 1 : lda;
  const int64_t depthStrideA = transA ? lda : 1;
  const int64_t colStrideB = transB ? ldb : 1;
  const int64_t depthStrideB = transB ? 1 : ldb;
  for (int64_t j0 = 0; j0 < n; j0 += Block::blockCols) {
    const int64_t cols = minOf(Block::blockCols, n - j0);
    // At least one round, so that an empty sum still writes beta * C.
    for (int64_t p0 = 0; p0 == 0 || p0 < k; p0 += Block::depth) {
      const int64_t depth = minOf(Block::depth, k - p0);
      const T carry = p0 == 0 ? beta : T(1);
      pack(b + j0 * colStrideB + p0 * depthStrideB, colStrideB, depthStrideB, cols, depth, Block::cols,
           packedB);
      for (int64_t i0 = 0; i0 < m; i0 += Block::blockRows) {
        const int64_t rows = minOf(Block::blockRows, m - i0);
        pack(a + i0 * rowStrideA + p0 * depthStrideA, rowStrideA, depthStrideA, rows, depth, Block::rows,
             packedA);
        for (int64_t j = 0; j < cols; j += Block::cols) {
          for (int64_t i = 0; i < rows; i += Block::rows) {
            multiplyTile(packedA + i * depth, packedB + j * depth, depth, carry, c + (i0 + i) * ldc + j0 + j,
                         ldc, minOf(Block::rows, rows - i), minOf(Block::cols, cols - j));
          }
        }
      }
    }
  }
}

void gemmBlocked(bool transA, bool transB, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                 const float* b, int64_t ldb, float beta, float* c, int64_t ldc, void* scratch) {
  gemm(transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc, scratch);
}

void gemmBlocked(bool transA, bool transB, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda,
                 const double* b, int64_t ldb, double beta, double* c, int64_t ldc, void* scratch) {
  gemm(transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc, scratch);
}

template <typename T>
static inline void copyRow(const T* bias, T* y, int64_t cols, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    for (int64_t j = 0; j < cols; j++) y[row * cols + j] = bias[j];
  }
}

void fillRows(const float* bias, float* y, int64_t cols, int64_t begin, int64_t end) {
  copyRow(bias, y, cols, begin, end);
}

void fillRows(const double* bias, double* y, int64_t cols, int64_t begin, int64_t end) {
  copyRow(bias, y, cols, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
