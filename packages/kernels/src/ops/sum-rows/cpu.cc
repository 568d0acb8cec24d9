#include "../../core/simd.h"
#include "sum_rows.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

// Rows are added in blocks, then the blocks: the error of a sum over many tokens grows with the number of
// blocks and not with the number of rows.
constexpr int64_t blockRows = 128;

/// Up to four vectors of columns at once: one stretch of 4 * width columns is walked down all rows.
template <typename T>
static inline void sumStretch(const T* x, T* y, int64_t rows, int64_t cols, bool accumulate, int numColumns) {
  using V = Vec<T>;
  constexpr int W = V::width;
  V total[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  for (int64_t first = 0; first < rows; first += blockRows) {
    const int64_t last = first + blockRows < rows ? first + blockRows : rows;
    V block[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
    for (int64_t row = first; row < last; row++) {
      const T* source = x + row * cols;
      if (numColumns == 4 * W) {
        for (int i = 0; i < 4; i++) block[i] = block[i] + V::load(source + i * W);
      } else {
        for (int i = 0; i * W < numColumns; i++) {
          const int count = numColumns - i * W < W ? numColumns - i * W : W;
          block[i] = block[i] + V::loadFirst(source + i * W, count);
        }
      }
    }
    for (int i = 0; i < 4; i++) total[i] = total[i] + block[i];
  }
  for (int i = 0; i * W < numColumns; i++) {
    const int count = numColumns - i * W < W ? numColumns - i * W : W;
    if (accumulate) total[i] = total[i] + V::loadFirst(y + i * W, count);
    total[i].storeFirst(y + i * W, count);
  }
}

template <typename T>
static inline void sumColumns(const T* x, T* y, int64_t rows, int64_t cols, bool accumulate, int64_t begin,
                              int64_t end) {
  constexpr int64_t stretch = 4 * Vec<T>::width;
  for (int64_t c = begin; c < end; c += stretch) {
    const int count = static_cast<int>(end - c < stretch ? end - c : stretch);
    sumStretch(x + c, y + c, rows, cols, accumulate, count);
  }
}

void sumRows(const float* x, float* y, int64_t rows, int64_t cols, bool accumulate, int64_t begin,
             int64_t end) {
  sumColumns(x, y, rows, cols, accumulate, begin, end);
}

void sumRows(const double* x, double* y, int64_t rows, int64_t cols, bool accumulate, int64_t begin,
             int64_t end) {
  sumColumns(x, y, rows, cols, accumulate, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
