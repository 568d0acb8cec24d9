#pragma once

#include <stdint.h>

/// A flat array in device memory, f32 or bf16, where a C interface takes either for each of its arrays.
struct LongscanArray {
  void* data;
  int32_t isBf16;
};
