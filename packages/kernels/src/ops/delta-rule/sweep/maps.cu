#include "maps.h"

#include "cuda/tile.cuh"

namespace longscan {

cudaError_t makeSweepMaps(const DeltaSweepCall& call, bool backward, int width, SweepMaps& maps) {
  maps.usable = call.K % 64 == 0 && call.V % 32 == 0 && canMapTensors();
  if (!maps.usable) return cudaSuccess;
  const int64_t heads = call.B * call.H, rows = (call.T + tileTokens - 1) / tileTokens * tileTokens;
  const DeltaChunks& chunks = call.chunks;
  const auto ofTokens = [&](const void* data, int64_t columns) {
    return MappedTensor{data, call.B, call.T, call.H, columns};
  };
  const auto ofRows = [&](const void* data, int64_t columns) {
    return MappedTensor{data, heads, rows, 1, columns};
  };
  const struct {
    CUtensorMap& map;
    MappedTensor tensor;
    int columns, rows;
  } wanted[] = {
      {maps.keys, ofTokens(call.diagonal ? chunks.writeKeys : call.k, call.K), 64, tileTokens},
      {maps.queries, ofTokens(call.diagonal ? chunks.queries : call.q, call.K), 64, tileTokens},
      {maps.w, ofRows(chunks.w, call.K), 64, tileTokens},
      {maps.scores, ofRows(chunks.scores, 64), 64, tileTokens},
      {maps.inverse, ofRows(chunks.inverse, 64), 64, tileTokens},
      {maps.states,
       {backward ? call.adjoints : call.states, heads * (rows / tileTokens), call.V, 1, call.K},
       64,
       width},
      {maps.values, backward ? ofTokens(call.dO, call.V) : ofRows(chunks.u, call.V), width, tileTokens},
  };
  for (const auto& one : wanted) {
    if (one.tensor.data == nullptr) continue;  // adjoints of a sweep that keeps none
    const cudaError_t error = mapTensor(one.map, one.tensor, one.columns, one.rows);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace longscan
