#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace longscan {

/// Describes bf16 [batch, rows, heads, columns] for copies of boxes of 64 columns and `boxRows` rows of one
/// head, with the exchange of 16-byte units that wgmma reads.
cudaError_t describeTensor(CUtensorMap& map, const void* data, int64_t batch, int64_t rows, int heads,
                           int columns, int boxRows);

}  // namespace longscan
