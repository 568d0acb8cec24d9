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

/// Rows of B T tokens.
inline MappedTensor mappedRows(const SweepRows& rows, int64_t B, int64_t T) {
  return {rows.data, B, T, rows.heads, rows.channels, rows.pitch};
}

/// Of kind `contracted`: others need the tokens of a chunk in their own order.
cudaError_t makeSweepMaps(const SweepCall& call, SweepMaps& maps);

}  // namespace longscan
