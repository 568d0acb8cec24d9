#include "../../core/simd.h"
#include "swap_axes.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

void swapAxes(const char* x, char* y, int64_t outer, int64_t inner, int64_t bytes, int64_t begin,
              int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const int64_t i = row / outer;
    const int64_t o = row % outer;
    __builtin_memcpy(y + row * bytes, x + (o * inner + i) * bytes, static_cast<size_t>(bytes));
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
