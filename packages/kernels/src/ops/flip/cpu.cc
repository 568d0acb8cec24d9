#include "../../core/simd.h"
#include "flip.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

void flip(const char* x, char* y, int64_t length, int64_t bytes, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const int64_t i = row % length;
    const int64_t source = row - i + length - 1 - i;
    __builtin_memcpy(y + row * bytes, x + source * bytes, static_cast<size_t>(bytes));
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
