#pragma once

#include <cstdint>

#include "cuda/arrivals.cuh"

// How the parts of a sweep's block wait for each other: barriers in shared memory, and rings of what is
// loaded ahead.

namespace longscan {

using SweepBarrier = BarrierAddress;

/// Where somebody is in a ring, and how often he went round, modulo 2.
struct RingPlace {
  int slot = 0;
  uint32_t round = 0;

  /// `by` at most `size`.
  __device__ RingPlace ahead(int by, int size) const {
    return slot + by < size ? RingPlace{slot + by, round} : RingPlace{slot + by - size, round ^ 1};
  }
};

}  // namespace longscan
