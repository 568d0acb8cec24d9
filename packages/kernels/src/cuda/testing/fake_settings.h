#pragma once

#include <cstdlib>
#include <string>

/// What an environment variable, read at each call, says of `name`: "version=13000 devices=1
/// fail=cuMemsetD8Async".
inline std::string settingIn(const char* variable, const char* name, const char* otherwise) {
  const char* all = std::getenv(variable);
  const std::string text = std::string(" ") + (all == nullptr ? "" : all) + " ";
  const std::string key = std::string(" ") + name + "=";
  const size_t at = text.find(key);
  if (at == std::string::npos) return otherwise;
  const size_t begin = at + key.size();
  return text.substr(begin, text.find(' ', begin) - begin);
}

/// Of the fakes of CUDA.
inline std::string setting(const char* name, const char* otherwise) {
  return settingIn("LONGSCAN_FAKE_CUDA", name, otherwise);
}
