#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace longscan {

/// A number of bytes as messages have it: in bytes below 1 MiB, else in MiB or GiB with one decimal.
inline std::string bytesText(size_t bytes) {
  constexpr size_t mebi = size_t{1} << 20;
  if (bytes < mebi) return std::to_string(bytes) + " bytes";
  const bool large = bytes >= mebi << 10;
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %s",
                static_cast<double>(bytes) / static_cast<double>(large ? mebi << 10 : mebi),
                large ? "GiB" : "MiB");
  return text;
}

}  // namespace longscan
