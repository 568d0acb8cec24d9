#pragma once

#include <stdexcept>
#include <string>

namespace longscan {

/// An error with a stable code; becomes a `LongscanError` on the TypeScript side. The addon never ends the
/// process.
class Error : public std::runtime_error {
 public:
  Error(std::string code, std::string message)
      : std::runtime_error(std::move(message)), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

}  // namespace longscan
