#pragma once

#include <string>

#include "nccl.h"

namespace longscan {

/// What every rank of a group must have to join it: made by one of them, taken to the others as text.
struct NcclGroupId {
  int version = 0;  // of the NCCL that made it
  Nccl::UniqueId id{};

  /// Throws E-NCCL.
  static NcclGroupId create(const Nccl& nccl);
  /// Throws E-ARGUMENT.
  static NcclGroupId parse(const std::string& text);
  /// The version, a dash and 256 hexadecimal digits.
  std::string toString() const;
};

}  // namespace longscan
