#pragma once

#include <cstddef>
#include <cstdint>

namespace longscan {

/// Element types of tensors; the numbers are those of `dtypeCodes` in tensor.ts.
enum class DType : uint8_t { f32 = 0, f64 = 1, bf16 = 2, i32 = 3 };

inline size_t dtypeBytes(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::bf16:
      return 2;
    default:
      return 4;
  }
}

inline const char* dtypeName(DType dtype) {
  constexpr const char* names[] = {"f32", "f64", "bf16", "i32"};
  return names[static_cast<size_t>(dtype)];
}

}  // namespace longscan
