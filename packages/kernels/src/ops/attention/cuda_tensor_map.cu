#include <cudaTypedefs.h>

#include "cuda_tensor_map.h"

namespace longscan {

cudaError_t describeTensor(CUtensorMap& map, const void* data, int64_t batch, int64_t rows, int heads,
                           int columns, int boxRows) {
  // From the driver that the runtime has loaded: this library links none.
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
  if (error != cudaSuccess) return error;
  if (found != cudaDriverEntryPointSuccess) return cudaErrorSymbolNotFound;
  constexpr uint64_t elementBytes = 2;
  const uint64_t dims[] = {static_cast<uint64_t>(columns), static_cast<uint64_t>(heads),
                           static_cast<uint64_t>(rows), static_cast<uint64_t>(batch)};
  const uint64_t rowBytes = dims[0] * elementBytes;
  const uint64_t strides[] = {rowBytes, rowBytes * dims[1], rowBytes * dims[1] * dims[2]};
  const uint32_t box[] = {64, 1, static_cast<uint32_t>(boxRows), 1};
  const uint32_t steps[] = {1, 1, 1, 1};
  const CUresult result = reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function)(
      &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(data), dims, strides, box, steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace longscan
