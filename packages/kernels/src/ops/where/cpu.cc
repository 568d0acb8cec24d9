#include "../../core/simd.h"
#include "where.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

void selectRows(const int32_t* condition, const char* a, const char* b, char* y, int64_t rowBytes,
                int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const char* source = condition[row] != 0 ? a : b;
    const auto bytes = static_cast<size_t>(rowBytes);
    if (source == nullptr) {
      __builtin_memset(y + row * rowBytes, 0, bytes);
    } else {
      __builtin_memcpy(y + row * rowBytes, source + row * rowBytes, bytes);
    }
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
