#pragma once

#include <cstdint>

// An f32 number as two halves of 16 bits, the upper one rounded to bf16: ops/halves/README.md.

namespace longscan {

__device__ inline float joinedHalves(uint16_t high, uint16_t low) {
  const auto rest = static_cast<uint32_t>(static_cast<int16_t>(low));
  return __uint_as_float((static_cast<uint32_t>(high) << 16) + rest);
}

/// The upper half first. A NaN is kept as one kind.
__device__ inline void splitInHalves(float value, uint16_t& high, uint16_t& low) {
  const uint32_t bits = value == value ? __float_as_uint(value) : 0x7fc00000u;
  high = static_cast<uint16_t>((bits + 0x8000u) >> 16);
  low = static_cast<uint16_t>(bits);
}

}  // namespace longscan
