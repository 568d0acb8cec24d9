#pragma once

#include "cuda/mma.cuh"

namespace longscan {

/// x = high + low, both bf16: together 16 bits.
struct SplitA {
  MmaA high, low;

  /// Element pairs in the operand's order.
  __device__ void set(int i, float first, float second) {
    high.x[i] = pack(first, second);
    low.x[i] = pack(first - lowHalf(high.x[i]), second - highHalf(high.x[i]));
  }
};

}  // namespace longscan
