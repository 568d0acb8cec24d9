#include "tensor_map.h"

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

}  // namespace

bool canMapTensors() {
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major >= 9 && encoder() != nullptr;
}

cudaError_t mapTensor(CUtensorMap& map, const MappedTensor& from, int boxColumns, int boxTokens) {
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(from.columns), static_cast<cuuint64_t>(from.heads),
                              static_cast<cuuint64_t>(from.tokens), static_cast<cuuint64_t>(from.batches)};
  const auto pitch = static_cast<cuuint64_t>(from.pitch);
  const cuuint64_t pitches[] = {2 * sizes[0], 2 * pitch, 2 * pitch * sizes[2]};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(boxColumns), 1, static_cast<cuuint32_t>(boxTokens), 1};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const Encode encode = encoder();
  if (encode == nullptr) return cudaErrorSymbolNotFound;
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(from.data),
                                 sizes, pitches, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 boxColumns == 64 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t mapTensors(std::initializer_list<TensorMapping> wanted, int boxColumns, int boxTokens) {
  for (const TensorMapping& one : wanted) {
    if (one.tensor.data == nullptr) continue;
    const cudaError_t error = mapTensor(one.map, one.tensor, boxColumns, boxTokens);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace longscan
