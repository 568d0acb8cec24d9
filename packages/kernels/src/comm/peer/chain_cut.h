#pragma once

#include <algorithm>

#include "../../cuda/on_both.h"
#include "../../ops/transition/transition.h"
#include "chain.h"

namespace longscan {

/// How a state is cut for a chain: over lanes by rows, and within a lane into blocks. By the shape alone, so
/// that all ranks cut alike.
struct ChainCut {
  int numRows, lanes, rowsPerBlock;

  ChainCut(int numRows, int rowLength, TransitionKind kind)
      : numRows(numRows), rowsPerBlock(longscanPeerSlotFloats / rowLength) {
    // Few, since each holds a part of a multiprocessor while it waits; what takes long needs more of them.
    constexpr int64_t worthALane = longscanPeerSlotFloats / 2, large = 64 * longscanPeerSlotFloats;
    const int64_t floats = int64_t{numRows} * rowLength;
    const bool takesLong = kind == TransitionKind::dense || floats > large;
    const int most = takesLong ? longscanPeerLanes : longscanPeerLanes / 2;
    const int64_t wanted = (floats + worthALane - 1) / worthALane;
    lanes = static_cast<int>(std::min<int64_t>({wanted, most, numRows}));
  }

  /// The first row of a lane; that of `lanes` is the end.
  LONGSCAN_ON_BOTH int begin(int lane) const { return static_cast<int>(int64_t{numRows} * lane / lanes); }
};

}  // namespace longscan
