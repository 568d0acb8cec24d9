#pragma once

#include <stddef.h>
#include <stdint.h>

// Products with blocks of 4 x 4 on CUDA devices, as plain C: too small for a library's tiles. Calls only
// enqueue on the stream; each returns 0 or a cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// from, to [numRows, G, 4], weight [G, 4, 4], all f32 or all bf16; sums are f32.
struct LongscanSmallBlocks {
  int64_t numRows, G;
  int32_t isBf16;
  int32_t transposed;  // 0: to = from Wᵀ, block by block; 1: to = from W
  const void *from, *weight;
  void* to;
};

int longscanSmallBlocks(const struct LongscanSmallBlocks* call, struct CUstream_st* stream);

/// dw [G, 4, 4] = Σ_rows dy xᵀ, or added to it; x, dy [numRows, G, 4], both f32 or both bf16; dw is either.
struct LongscanSmallBlocksGradient {
  int64_t numRows, G;
  int32_t isBf16, targetIsBf16, accumulate;
  const void *x, *dy;
  void* dw;
  float* workspace;  // longscanSmallBlocksWorkspaceBytes()
};

size_t longscanSmallBlocksWorkspaceBytes(const struct LongscanSmallBlocksGradient* call);
int longscanSmallBlocksGradient(const struct LongscanSmallBlocksGradient* call, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
