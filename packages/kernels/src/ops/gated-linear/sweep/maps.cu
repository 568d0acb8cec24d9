#include "maps.h"

namespace longscan {

cudaError_t makeSweepMaps(const SweepCall& call, SweepMaps& maps) {
  maps.usable = call.kind == SweepDecay::contracted && canMapTensors();
  if (!maps.usable) return cudaSuccess;
  const auto map = [&](CUtensorMap& to, const MappedTensor& tensor) {
    return tensor.data == nullptr ? cudaSuccess : mapTensor(to, tensor, 64, chunkTokens);
  };
  const auto ofTokens = [&](const SweepRows& rows) {
    return MappedTensor{rows.data, call.B, call.T, rows.heads, rows.channels, rows.pitch};
  };
  const int64_t chunks = call.B * call.H * ((call.T + chunkTokens - 1) / chunkTokens);
  for (int i = 0; i < call.numTasks; i++) {
    const SweepTask& task = call.tasks[i];
    TaskMaps& to = maps.tasks[i];
    cudaError_t error = map(to.x, ofTokens(task.x.data != nullptr ? task.x : task.yRest));
    if (error == cudaSuccess) error = map(to.y, ofTokens(task.y));
    if (error == cudaSuccess) error = map(to.z, ofTokens(task.z));
    if (error == cudaSuccess)
      error = map(to.scores, {task.scores, chunks * task.scoreTerms, chunkTokens, 1, chunkTokens});
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace longscan
