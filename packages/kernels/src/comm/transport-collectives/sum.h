#pragma once

#include <cstddef>

#include "../../core/dtype.h"

namespace longscan {

/// `out = a + b`, elementwise over `bytes` bytes of f32 or f64; `out` may be `a` or `b`. Throws E-ARGUMENT
/// for other types: bf16 gradients are reduced in f32, and integers are never reduced.
void sum(void* out, const void* a, const void* b, size_t bytes, DType dtype);

}  // namespace longscan
