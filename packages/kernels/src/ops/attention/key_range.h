#pragma once

#include <cstdint>

#include "../../cuda/on_both.h"

namespace longscan {

/// Keys [first, end).
struct SeenKeys {
  int64_t first, end;
};

/// Rounded down, below zero too.
LONGSCAN_ON_BOTH static inline int64_t floorDivide(int64_t a, int64_t b) {
  return a >= 0 ? a / b : -((b - 1 - a) / b);
}

/// The keys that query t of batch row b sees; positions come from memory: whatever they say, they lie in [0,
/// S). `Call`: Attention or LongscanAttention. Static, as the CPU's kernels are compiled at several
/// instruction-set levels.
template <typename Call>
LONGSCAN_ON_BOTH static inline SeenKeys seenKeys(const Call& c, int64_t b, int64_t t) {
#ifndef __CUDACC__  // which has its own. The library's could be linked from a file of another level
  const auto min = [](int64_t x, int64_t y) { return x < y ? x : y; };
  const auto max = [](int64_t x, int64_t y) { return x > y ? x : y; };
#endif
  const int64_t index = c.keyOffset + t;
  const int64_t position = c.positions == nullptr ? index : c.positions[b * c.T + t];
  const int64_t start = index - position;  // of the document; it may begin before the first key
  int64_t first = start, end = index + 1;
  if (c.chunk > 0) {
    // The document's first chunk ends at start + chunk - 1, the others follow `chunk` apart: one slot each.
    first = floorDivide(start + c.chunk - 1, c.chunk);
    end = first + position / c.chunk;
  } else if (c.window > 0) {
    first = max(first, index + 1 - c.window);
  }
  if (c.after != nullptr) {
    end += c.after[b * c.T + t];
    if (c.window > 0) end = min(end, index + c.window);
  }
  first = min(max(first, int64_t{0}), c.S);
  end = max(min(end, c.S), first);
  return {first, end};
}

}  // namespace longscan
