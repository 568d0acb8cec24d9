#pragma once

#include <cstddef>
#include <cstdint>

namespace longscan {

/// Hands out parts of a workspace; counts them if there is none.
class WorkspaceParts {
 public:
  explicit WorkspaceParts(void* base) : base_(static_cast<char*>(base)) {}

  template <typename Element>
  Element* take(int64_t count) {
    Element* const part = base_ ? reinterpret_cast<Element*>(base_ + used_) : nullptr;
    used_ += (count * sizeof(Element) + 255) / 256 * 256;
    return part;
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

}  // namespace longscan
