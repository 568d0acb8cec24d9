#pragma once

#include "cuda.h"
#include "key_range.h"

namespace longscan {

/// Keys [first, end).
struct KeyRange {
  int first, end;

  __device__ bool empty() const { return first >= end; }
};

__device__ inline KeyRange keyRange(const LongscanAttention& c, int64_t b, int64_t t) {
  const SeenKeys seen = seenKeys(c, b, t);
  return {static_cast<int>(seen.first), static_cast<int>(seen.end)};
}

}  // namespace longscan
