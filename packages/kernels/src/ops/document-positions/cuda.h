#pragma once

#include <stddef.h>
#include <stdint.h>

// Positions within documents on CUDA devices, as plain C. Calls only enqueue on the stream; each returns 0,
// or a cudaError_t. All memory is the device's, row-major.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

struct LongscanDocumentPositions {
  int64_t B, T;
  int32_t start;          // tokens of each row's open document before these ones, where `before` is null
  const int32_t* before;  // [B], the same by row, or null
  const int32_t* resets;  // [B, T], 1 where a document starts, or null
  int32_t* positions;     // [B, T]: tokens of the same document before each
  void* workspace;        // longscanDocumentPositionsWorkspaceBytes()
};

size_t longscanDocumentPositionsWorkspaceBytes(const struct LongscanDocumentPositions* call);
int longscanDocumentPositions(const struct LongscanDocumentPositions* call, struct CUstream_st* stream);
/// starts [count] = 1 where positions [count] is a multiple of `chunk`, else 0.
int longscanChunkStarts(const int32_t* positions, int32_t chunk, int32_t* starts, int64_t count,
                        struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
