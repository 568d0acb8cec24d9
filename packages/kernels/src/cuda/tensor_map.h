#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>

namespace longscan {

/// bf16 [batches, tokens, heads, columns].
struct MappedTensor {
  const void* data;
  int64_t batches, tokens, heads, columns;
  int64_t pitch = heads * columns;  // elements from a token to the next
};

/// Whether the device has a copy engine, to which its driver can describe tensors.
bool canMapTensors();

/// A map for boxes of `boxTokens` tokens and 64 columns in wgmma's 128-byte pattern, or 32 columns in its
/// 64-byte pattern. Coordinates: column, head, token, batch.
cudaError_t mapTensor(CUtensorMap& map, const MappedTensor& tensor, int boxColumns, int boxTokens);

/// Maps for boxes of one size. A tensor without data, which nobody copies, gets none.
struct TensorMapping {
  CUtensorMap& map;
  MappedTensor tensor;
};
cudaError_t mapTensors(std::initializer_list<TensorMapping> wanted, int boxColumns, int boxTokens);

}  // namespace longscan
