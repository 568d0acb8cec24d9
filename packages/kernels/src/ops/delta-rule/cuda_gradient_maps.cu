#include "cuda_gradient_maps.h"

#include "cuda/tile.cuh"

namespace longscan {

namespace {

template <typename Call>
cudaError_t makeMaps(const Call& call, GradientMaps& maps) {
  maps.usable = call.K % 64 == 0 && call.V % 64 == 0 && canMapTensors();
  if (!maps.usable) return cudaSuccess;
  const int64_t heads = call.B * call.H, chunksOfHead = (call.T + tileTokens - 1) / tileTokens;
  const int64_t chunks = heads * chunksOfHead;
  const struct {
    CUtensorMap& map;
    MappedTensor tensor;
  } wanted[] = {
      {maps.dO, {call.dO, call.B, call.T, call.H, call.V}},
      {maps.dv, {call.dv, call.B, call.T, call.H, call.V}},
      {maps.corrections, {call.corrections, heads, chunksOfHead * tileTokens, 1, call.V}},
      {maps.states, {call.states, chunks, call.V, 1, call.K}},
      {maps.adjoints, {call.adjoints, chunks, call.V, 1, call.K}},
      {maps.q, {call.q, call.B, call.T, call.H, call.K}},
      {maps.k, {call.k, call.B, call.T, call.H, call.K}},
  };
  for (const auto& one : wanted) {
    const cudaError_t error = mapTensor(one.map, one.tensor, 64, tileTokens);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t makeGradientMaps(const DeltaGradientCall& call, GradientMaps& maps) {
  return makeMaps(call, maps);
}

cudaError_t makeGradientMaps(const DeltaDiagonalGradientCall& call, GradientMaps& maps) {
  return makeMaps(call, maps);
}

}  // namespace longscan
