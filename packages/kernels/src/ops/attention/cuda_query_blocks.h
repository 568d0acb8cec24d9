#pragma once

#include <cuda_runtime.h>

#include "cuda.h"

namespace longscan {

/// Keys that queries see: [first, end) some of a block, [innerFirst, innerEnd) all of it.
struct alignas(16) BlockSight {
  int first, end, innerFirst, innerEnd;
};

/// What the queries see, by query, [B][pitch], and by block of `size` queries, [B][pitch / size].
struct QueryBlocks {
  int2* ranges;
  BlockSight* sights;
  int* mostKeys;  // that a block sees, from the first to the last; zero before
  int64_t pitch;
  int size;
};

cudaError_t launchQueryBlocks(const LongscanAttention& call, const QueryBlocks& blocks, cudaStream_t stream);

}  // namespace longscan
