#pragma once

#include <cmath>
#include <cstdint>

#include "../../core/cpu.h"
#include "../../cuda/on_both.h"

namespace longscan {

/// Two words that say which sequence of numbers is meant.
struct RandomKey {
  uint32_t words[2];
};

struct RandomWords {
  uint32_t words[4];
};

constexpr int64_t normalsPerBlock = 4;

/// Philox4x32-10 of the counter (see README.md).
LONGSCAN_ON_BOTH inline RandomWords philox(const RandomWords& counter, RandomKey key) {
  uint32_t a = counter.words[0], b = counter.words[1], c = counter.words[2], d = counter.words[3];
  for (int round = 0; round < 10; round++) {
    const uint64_t first = uint64_t{0xD2511F53} * a, second = uint64_t{0xCD9E8D57} * c;
    a = static_cast<uint32_t>(second >> 32) ^ b ^ key.words[0];
    b = static_cast<uint32_t>(second);
    c = static_cast<uint32_t>(first >> 32) ^ d ^ key.words[1];
    d = static_cast<uint32_t>(first);
    key.words[0] += 0x9E3779B9;
    key.words[1] += 0xBB67AE85;
  }
  return {{a, b, c, d}};
}

/// Writes elements [4 block, 4 block + 4), those below `count`, as deviation times a normal number.
template <typename T>
LONGSCAN_ON_BOTH inline void fillNormalBlock(T* y, int64_t count, RandomKey key, double deviation,
                                             int64_t block) {
  const auto low = static_cast<uint32_t>(block), high = static_cast<uint32_t>(block >> 32);
  const RandomWords random = philox({{low, high, 0, 0}}, key);
  constexpr double unit = 1.0 / 4294967296.0, turn = 6.283185307179586;
  for (int pair = 0; pair < 2; pair++) {
    const double radius = deviation * sqrt(-2.0 * log((random.words[2 * pair] + 1.0) * unit));
    const double angle = turn * (random.words[2 * pair + 1] * unit);
    const int64_t at = normalsPerBlock * block + 2 * pair;
    if (at < count) y[at] = static_cast<T>(radius * cos(angle));
    if (at + 1 < count) y[at + 1] = static_cast<T>(radius * sin(angle));
  }
}

}  // namespace longscan

// Blocks [begin, end) of y [count].
LONGSCAN_KERNEL(fillNormal,
                (float* y, int64_t count, RandomKey key, double deviation, int64_t begin, int64_t end),
                (y, count, key, deviation, begin, end))
LONGSCAN_KERNEL(fillNormal,
                (double* y, int64_t count, RandomKey key, double deviation, int64_t begin, int64_t end),
                (y, count, key, deviation, begin, end))
