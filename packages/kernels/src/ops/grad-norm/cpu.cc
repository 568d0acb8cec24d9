#include "../../core/simd.h"
#include "grad_norm.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

using Wide = Vec<double>;

/// As many elements as fit into a vector of f64, widened.
static inline Wide loadWide(const double* p) {
  return Wide::load(p);
}

static inline Wide loadWide(const float* p) {
  typedef float Narrow __attribute__((vector_size(vectorBytes / 2)));
  Narrow values;
  __builtin_memcpy(&values, p, sizeof(values));
  return Wide{__builtin_convertvector(values, Wide::Native)};
}

template <typename T>
static inline double squares(const T* x, int64_t count) {
  constexpr int W = Wide::width;
  Wide sum[4] = {Wide::zero(), Wide::zero(), Wide::zero(), Wide::zero()};
  int64_t i = 0;
  for (; i + 4 * W <= count; i += 4 * W) {
    for (int part = 0; part < 4; part++) {
      const Wide value = loadWide(x + i + part * W);
      sum[part] = sum[part] + value * value;
    }
  }
  for (; i < count; i += W) {
    T rest[W] = {};
    for (int lane = 0; lane < W && i + lane < count; lane++) rest[lane] = x[i + lane];
    const Wide value = loadWide(rest);
    sum[0] = sum[0] + value * value;
  }
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])).sum();
}

template <typename T>
static inline void sumBlocks(const T* x, double* blockSums, int64_t count, int64_t begin, int64_t end) {
  for (int64_t block = begin; block < end; block++) {
    const int64_t first = block * gradNormBlock;
    blockSums[block] = squares(x + first, count - first < gradNormBlock ? count - first : gradNormBlock);
  }
}

void squaresOfBlocks(const float* x, double* blockSums, int64_t count, int64_t begin, int64_t end) {
  sumBlocks(x, blockSums, count, begin, end);
}

void squaresOfBlocks(const double* x, double* blockSums, int64_t count, int64_t begin, int64_t end) {
  sumBlocks(x, blockSums, count, begin, end);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
