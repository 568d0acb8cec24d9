#include "hmac.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "../../core/error.h"

namespace longscan {

namespace {

/// Looked up at run time: a node built without OpenSSL must still be able to load the addon and use one rank.
template <typename Function>
Function* exported(const char* name) {
  auto* function = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
  if (function == nullptr) {
    throw Error("E-ADDON", std::string("this node executable does not export OpenSSL's ") + name +
                               ", which the TCP engine needs. Fix: use an official build of Node.js");
  }
  return function;
}

}  // namespace

Digest hmacSha256(const std::string& key, const void* data, size_t bytes) {
  const auto hmac = exported<decltype(HMAC)>("HMAC");
  const auto sha256 = exported<decltype(EVP_sha256)>("EVP_sha256");
  Digest digest{};
  unsigned int length = 0;
  if (hmac(sha256(), key.data(), static_cast<int>(key.size()), static_cast<const unsigned char*>(data), bytes,
           digest.data(), &length) == nullptr ||
      length != digest.size()) {
    throw Error("E-ADDON", "OpenSSL's HMAC failed");
  }
  return digest;
}

bool sameDigest(const Digest& a, const Digest& b) {
  return exported<decltype(CRYPTO_memcmp)>("CRYPTO_memcmp")(a.data(), b.data(), a.size()) == 0;
}

Digest randomNonce() {
  Digest nonce;
  if (getentropy(nonce.data(), nonce.size()) != 0) {
    throw Error("E-ADDON", "the kernel gave no random bytes: " + std::generic_category().message(errno));
  }
  return nonce;
}

}  // namespace longscan
