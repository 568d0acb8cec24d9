#include "random.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

void fillNormal(float* y, int64_t count, RandomKey key, double deviation, int64_t begin, int64_t end) {
  for (int64_t block = begin; block < end; block++) fillNormalBlock(y, count, key, deviation, block);
}

void fillNormal(double* y, int64_t count, RandomKey key, double deviation, int64_t begin, int64_t end) {
  for (int64_t block = begin; block < end; block++) fillNormalBlock(y, count, key, deviation, block);
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
