#include <cstring>

#include "halves.h"

namespace longscan {
namespace LONGSCAN_LEVEL {

void joinHalves(const uint16_t* high, const uint16_t* low, float* values, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) {
    const auto rest = static_cast<uint32_t>(static_cast<int16_t>(low[i]));
    const uint32_t bits = (static_cast<uint32_t>(high[i]) << 16) + rest;
    std::memcpy(values + i, &bits, sizeof(bits));
  }
}

void splitHalves(const float* values, uint16_t* high, uint16_t* low, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) {
    uint32_t bits = 0;
    std::memcpy(&bits, values + i, sizeof(bits));
    // A NaN of one kind: adding to the bits of others can carry.
    if ((bits & 0x7fffffff) > 0x7f800000) bits = 0x7fc00000;
    high[i] = static_cast<uint16_t>((bits + 0x8000) >> 16);
    low[i] = static_cast<uint16_t>(bits);
  }
}

}  // namespace LONGSCAN_LEVEL
}  // namespace longscan
