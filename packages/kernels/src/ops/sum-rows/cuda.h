#pragma once

#include <stddef.h>
#include <stdint.h>

// Sums over rows on CUDA devices, as plain C. Calls only enqueue on the stream; each returns 0, or a
// cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// x [rows, cols], target [cols], each f32 or bf16; sums are f32.
struct LongscanSumRows {
  int64_t rows, cols;
  int32_t isBf16, targetIsBf16;
  int32_t accumulate;  // 1: target += the sums, 0: target = the sums
  const void* x;
  void* target;
  void* workspace;  // longscanSumRowsWorkspaceBytes()
};

/// At least one byte.
size_t longscanSumRowsWorkspaceBytes(const struct LongscanSumRows* call);
int longscanSumRows(const struct LongscanSumRows* call, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
