#pragma once

#include "cuda_sweep.h"
#include "cuda_tensor_map.h"

namespace longscan {

/// How the copy engine finds a sweep's tensors: boxes of 64 / `sharers` tokens and 64 columns, in wgmma's
/// 128-byte pattern; of the values 64 tokens and 32 columns, in the 64-byte pattern.
struct SweepMaps {
  CUtensorMap keys, queries, w, scores, inverse, values;
  /// Blocks of a cluster, which copy for each other what a head's blocks all need.
  int sharers;
  /// Whether there are maps: on devices with a copy engine, where head sizes are whole boxes.
  bool usable;
};

/// Blocks of a head that share copies, at most: clusters of four leave multiprocessors without a block (30 of
/// them have room on an H200), and so would have the backward pass's blocks run one after the other.
constexpr int mostSharers = 2;

/// `values`: 32 columns of it go to each block; u or dO.
cudaError_t makeSweepMaps(const DeltaSweepCall& call, bool backward, int sharers, SweepMaps& maps);

/// How many blocks of a head share copies on this device.
int sweepSharers(const DeltaSweepCall& call);

}  // namespace longscan
