#pragma once

#include <cstdint>
#include <cstring>

namespace longscan {

/// An f32 number in two halves, see README.md.
struct HalvesOfFloat {
  uint16_t high, low;

  explicit HalvesOfFloat(float value) {
    uint32_t bits = 0x7fc00000;
    if (value == value) std::memcpy(&bits, &value, sizeof(bits));
    high = static_cast<uint16_t>((bits + 0x8000) >> 16);
    low = static_cast<uint16_t>(bits);
  }
};

inline float joined(uint16_t high, uint16_t low) {
  const uint32_t bits =
      (static_cast<uint32_t>(high) << 16) + static_cast<uint32_t>(static_cast<int16_t>(low));
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace longscan
