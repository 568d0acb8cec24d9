#pragma once

#include "cuda/tensor_map.h"
#include "sweep.h"

namespace longscan {

/// What the copy engine is to know of a task's tensors.
struct TaskMaps {
  CUtensorMap x;  // of a summary: yRest
  CUtensorMap y, z, scores;
};

struct SweepMaps {
  bool usable;  // else all is copied by threads
  TaskMaps tasks[2];
};

/// Of kind `contracted`: others need the tokens of a chunk in their own order.
cudaError_t makeSweepMaps(const SweepCall& call, SweepMaps& maps);

}  // namespace longscan
