#pragma once

#include "cuda/tensor_map.h"
#include "sweep.h"

namespace longscan {

/// How the copy engine finds a sweep's tensors: boxes of 64 tokens and 64 columns, in wgmma's
/// 128-byte pattern; of a narrow block's values 64 tokens and 32 columns, in the 64-byte pattern.
struct SweepMaps {
  CUtensorMap keys, queries, w, scores, inverse, values;
  CUtensorMap states;  // or adjoints: boxes of as many channels of V as a block has, and 64 of K
  /// Whether there are maps: on devices with a copy engine, where head sizes are whole boxes.
  bool usable;
};

/// `values`: u or dO, `width` columns of which go to each block.
cudaError_t makeSweepMaps(const DeltaSweepCall& call, bool backward, int width, SweepMaps& maps);

}  // namespace longscan
