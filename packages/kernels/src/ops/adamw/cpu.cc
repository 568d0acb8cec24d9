#include "adamw.h"

#include <algorithm>

namespace longscan {
namespace LONGSCAN_LEVEL {

template <typename T>
static inline void update(const AdamwStep& step, T* __restrict__ parameter, const T* __restrict__ gradient,
                          T* __restrict__ m, T* __restrict__ v, int64_t begin, int64_t end) {
  const auto constants = step.as<T>();
  const T factor = static_cast<T>(step.gradientFactor);
  for (int64_t i = begin; i < end; i++)
    updateElement(constants, gradient[i] * factor, parameter[i], m[i], v[i]);
}

void adamwUpdate(const AdamwStep& step, float* parameter, const float* gradient, float* m, float* v,
                 int64_t begin, int64_t end) {
  update(step, parameter, gradient, m, v, begin, end);
}

void adamwUpdate(const AdamwStep& step, double* parameter, const double* gradient, double* m, double* v,
                 int64_t begin, int64_t end) {
  update(step, parameter, gradient, m, v, begin, end);
}

void adamwUpdateRounded(const AdamwStep& step, const AdamwRounding& rounding, float* __restrict__ parameter,
                        const float* __restrict__ gradient, uint16_t* __restrict__ m,
                        uint16_t* __restrict__ v, int64_t begin, int64_t end) {
  const auto constants = step.as<float>();
  const auto factor = static_cast<float>(step.gradientFactor);
  // Random numbers first, of a few blocks: both loops are then ones for vector instructions.
  constexpr int64_t blocksAtOnce = 64;
  uint32_t noise[blocksAtOnce * elementsPerNoise];
  while (begin < end) {
    const int64_t firstBlock = (rounding.firstElement + begin) / elementsPerNoise;
    for (int64_t block = 0; block < blocksAtOnce; block++) {
      const RandomWords words = roundingNoise(rounding, firstBlock + block);
      for (int64_t i = 0; i < elementsPerNoise; i++) noise[block * elementsPerNoise + i] = words.words[i];
    }
    const int64_t noiseBegin = firstBlock * elementsPerNoise - rounding.firstElement;
    const int64_t until = std::min(end, noiseBegin + blocksAtOnce * elementsPerNoise);
    for (int64_t i = begin; i < until; i++) {
      float first = widened(m[i]), second = widened(v[i]);
      updateElement(constants, gradient[i] * factor, parameter[i], first, second);
      m[i] = roundedByNoise(first, noise[i - noiseBegin] & 0xffff);
      v[i] = roundedByNoise(second, noise[i - noiseBegin] >> 16);
    }
    begin = until;
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
