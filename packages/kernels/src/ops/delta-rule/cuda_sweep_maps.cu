#include "cuda_sweep_maps.h"

#include "cuda/tile.cuh"

namespace longscan {

namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// Of the driver that is there, so that nothing links against it; null if it has none.
Encode encoder() {
  static const Encode found = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult result;
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &result);
    return error == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(entry)
                                                                         : nullptr;
  }();
  return found;
}

/// bf16 [batches, tokens, heads, columns].
struct Tensor {
  const void* data;
  int64_t batches, tokens, heads, columns;
};

cudaError_t encode(CUtensorMap& map, const Tensor& from, int boxColumns, int boxTokens) {
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(from.columns), static_cast<cuuint64_t>(from.heads),
                              static_cast<cuuint64_t>(from.tokens), static_cast<cuuint64_t>(from.batches)};
  const cuuint64_t pitches[] = {2 * sizes[0], 2 * sizes[0] * sizes[1], 2 * sizes[0] * sizes[1] * sizes[2]};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(boxColumns), 1, static_cast<cuuint32_t>(boxTokens), 1};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const CUresult result = encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(from.data),
                                    sizes, pitches, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                    boxColumns == 64 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
                                    CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace

int sweepSharers(const DeltaSweepCall& call) {
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess || major < 9)
    return 1;
  const int tiles = (call.V + 31) / 32;
  for (int sharers = mostSharers; sharers > 1; sharers /= 2)
    if (tiles % sharers == 0) return sharers;
  return 1;
}

cudaError_t makeSweepMaps(const DeltaSweepCall& call, bool backward, int sharers, SweepMaps& maps) {
  maps.sharers = sharers;
  maps.usable = call.K % 64 == 0 && call.V % 32 == 0 && encoder() != nullptr;
  if (!maps.usable) return cudaSuccess;
  const int64_t heads = call.B * call.H, rows = (call.T + tileTokens - 1) / tileTokens * tileTokens;
  const DeltaChunks& chunks = call.chunks;
  const auto ofTokens = [&](const void* data, int64_t columns) {
    return Tensor{data, call.B, call.T, call.H, columns};
  };
  const auto ofRows = [&](const void* data, int64_t columns) {
    return Tensor{data, heads, rows, 1, columns};
  };
  const struct {
    CUtensorMap& map;
    Tensor tensor;
    int columns, tokens;
  } wanted[] = {
      {maps.keys, ofTokens(call.diagonal ? chunks.writeKeys : call.k, call.K), 64, tileTokens / sharers},
      {maps.queries, ofTokens(call.diagonal ? chunks.queries : call.q, call.K), 64, tileTokens / sharers},
      {maps.w, ofRows(chunks.w, call.K), 64, tileTokens / sharers},
      {maps.scores, ofRows(chunks.scores, 64), 64, tileTokens / sharers},
      {maps.inverse, ofRows(chunks.inverse, 64), 64, tileTokens / sharers},
      {maps.values, backward ? ofTokens(call.dO, call.V) : ofRows(chunks.u, call.V), 32, tileTokens},
  };
  for (const auto& one : wanted) {
    const cudaError_t error = encode(one.map, one.tensor, one.columns, one.tokens);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace longscan
