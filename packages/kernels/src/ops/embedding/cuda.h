#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/array.h"

// Rows of a table on CUDA devices, as plain C; functions that launch return 0 or a cudaError_t.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// tokens [numTokens], each a row of a table [vocab, dim]. Others are no row: they are read as zeros and get
/// no gradient.
struct LongscanEmbedding {
  const int32_t* tokens;
  int64_t numTokens, vocab, dim;
};

/// found [2] = the first position whose token is no row, and that token; -1 and 0 if there is none.
int longscanFindWrongToken(const struct LongscanEmbedding* call, int32_t* found, struct CUstream_st* stream);
/// y [numTokens, dim] = the tokens' rows; elements of `bytes` bytes.
int longscanEmbedding(const struct LongscanEmbedding* call, const void* table, void* y, int64_t bytes,
                      struct CUstream_st* stream);
size_t longscanEmbeddingGradientWorkspaceBytes(const struct LongscanEmbedding* call);
/// dtable [vocab, dim] = (if `accumulate`: +=) for each row the sum of dy [numTokens, dim] over its tokens,
/// in f32 and in an order that depends on the tokens alone.
int longscanEmbeddingGradient(const struct LongscanEmbedding* call, struct LongscanArray dy,
                              struct LongscanArray dtable, int accumulate, void* workspace,
                              struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
