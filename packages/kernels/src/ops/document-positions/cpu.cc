#include "document_positions.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

void documentPositions(const int32_t* resets, const int32_t* before, int32_t start, int32_t* positions,
                       int64_t T, int64_t begin, int64_t end) {
  for (int64_t b = begin; b < end; b++) {
    int32_t position = before == nullptr ? start : before[b];
    for (int64_t t = 0; t < T; t++) {
      if (resets != nullptr && resets[b * T + t] != 0) position = 0;
      positions[b * T + t] = position++;
    }
  }
}

void chunkStarts(const int32_t* positions, int32_t chunk, int32_t* starts, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) starts[i] = positions[i] % chunk == 0 ? 1 : 0;
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
