#pragma once

#include <cstdint>

#include "cuda.h"

namespace longscan {

/// A slice's sizes, with which the calls of most kernels begin.
struct SliceSizes {
  int64_t B, T;
  int H, G, K, V;  // G groups of heads share q and k
};

inline SliceSizes sizesOf(const LongscanGatedLinear& call) {
  return {call.B, call.T, call.H, call.G, call.K, call.V};
}

}  // namespace longscan
