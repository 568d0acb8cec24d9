#include "sum.h"

#include <string>

#include "../../core/error.h"

namespace longscan {

namespace {

template <typename T>
void sumOf(void* out, const void* a, const void* b, size_t bytes) {
  auto* sums = static_cast<T*>(out);
  const auto* left = static_cast<const T*>(a);
  const auto* right = static_cast<const T*>(b);
  for (size_t i = 0; i < bytes / sizeof(T); i++) sums[i] = left[i] + right[i];
}

}  // namespace

void sum(void* out, const void* a, const void* b, size_t bytes, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return sumOf<float>(out, a, b, bytes);
    case DType::f64:
      return sumOf<double>(out, a, b, bytes);
    default:
      throw Error("E-ARGUMENT",
                  std::string("no sum over ranks for ") + dtypeName(dtype) + ", only f32 and f64");
  }
}

}  // namespace longscan
