#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace longscan {

using Digest = std::array<uint8_t, 32>;

/// HMAC-SHA256, by the OpenSSL that is part of the node executable; throws E-ADDON if that does not export
/// it.
Digest hmacSha256(const std::string& key, const void* data, size_t bytes);

/// Compares in a time that does not depend on where they differ.
bool sameDigest(const Digest& a, const Digest& b);

/// 32 bytes from the kernel's random generator.
Digest randomNonce();

}  // namespace longscan
