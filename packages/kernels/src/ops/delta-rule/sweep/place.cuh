#pragma once

#include "../chunkwise/lane.cuh"
#include "layout.cuh"

namespace longscan {

/// Where a thread of a warpgroup that multiplies is: in its tiles, and in both rings.
template <typename Block>
struct SweepPlace {
  const Block& block;
  const DeltaSweepCall& call;
  const DeltaLane at;
  const int row0;  // of its warp's rows of a tile
  RingPlace operand, part;

  __device__ explicit SweepPlace(const Block& block)
      : block(block), call(block.call), row0(16 * (at.warp % 4)) {}

  /// The operand that comes `by` after the one at hand.
  __device__ RingPlace next(int by) const { return operand.ahead(by, block.rings.operands); }
};

}  // namespace longscan
