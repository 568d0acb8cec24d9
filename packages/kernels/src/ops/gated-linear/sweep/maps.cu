#include "maps.h"

namespace longscan {

cudaError_t makeSweepMaps(const SweepCall& call, SweepMaps& maps) {
  maps.usable = call.kind == SweepDecay::contracted && canMapTensors();
  if (!maps.usable) return cudaSuccess;
  const auto ofTokens = [&](const SweepRows& rows) { return mappedRows(rows, call.B, call.T); };
  const int64_t chunks = call.B * call.H * ((call.T + chunkTokens - 1) / chunkTokens);
  for (int i = 0; i < call.numTasks; i++) {
    const SweepTask& task = call.tasks[i];
    TaskMaps& to = maps.tasks[i];
    const cudaError_t error =
        mapTensors({{to.x, ofTokens(task.x.data != nullptr ? task.x : task.yRest)},
                    {to.y, ofTokens(task.y)},
                    {to.z, ofTokens(task.z)},
                    {to.scores, {task.scores, chunks * task.scoreTerms, chunkTokens, 1, chunkTokens}}},
                   64, chunkTokens);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace longscan
