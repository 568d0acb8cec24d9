#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../cuda/types.h"

// Softmax attention on CUDA devices as plain C: see README.md of this folder. All pointers are device
// pointers, tensors are contiguous and begin at 16 bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

struct LongscanAttention {
  int64_t B, T, S;           // T queries over S keys
  int32_t H, G, K, V;        // H query heads, a multiple of the G key heads; K and V multiples of 8 up to 256
  int64_t keyOffset;         // index of query 0 among the tokens that the keys stand for
  int64_t window, chunk;     // 0: none
  int32_t type;              // LongscanElement of q, k, v and dO
  int32_t resultType;        // of what is written but lse: o or the gradients
  const int32_t* positions;  // [B, T] within the document, or null: the index itself
  const int32_t* after;  // [B, T] tokens of the document after the query's that it sees too, or null: none
  const void* q;         // [B, T, H, K]
  const void* k;         // [B, S, G, K]
  const void* v;         // [B, S, G, V]
  const void* kSelf;     // [B, T, G, K] or null: a further key of each query's own
  const void* vSelf;     // [B, T, G, V] or null, as kSelf
  float scale;
  int32_t accumulate;  // o and lse hold the result over other keys; gradients are added to what is there
};

struct LongscanAttentionForward {
  void* o;     // [B, T, H, V]
  float* lse;  // [B, T, H], log of the sum of exponentials
};

struct LongscanAttentionBackward {
  const void* o;     // over all keys, of which the call may have some
  const float* lse;  // likewise
  const void* dO;    // [B, T, H, V]
  int32_t oType;     // LongscanElement of o
  void *dq, *dk, *dv, *dkSelf, *dvSelf;
  void* workspace;
};

/// Rows of `tokens` where a chunk of its document ends, each in its slot of `ends`; other slots are zero.
struct LongscanChunkEnds {
  int64_t B, T, slots, rowSize;
  int64_t chunk, tokenOffset;  // tokenOffset: index of token 0; slot 0 is that of its chunk
  int32_t type;                // LongscanElement
  int32_t backward;            // rows go from the slots to the tokens
  const int32_t* positions;    // [B, T] within the document, or null: the index itself
  void* tokens;                // [B, T, rowSize]
  void* ends;                  // [B, slots, rowSize]
};

/// 0: there is no kernel for this call.
size_t longscanAttentionBackwardWorkspaceBytes(const struct LongscanAttention* call);
/// Shared memory that a block takes, of either pass, where there is a kernel: not every device has as much.
size_t longscanAttentionSharedBytes(const struct LongscanAttention* call);
/// Each returns a cudaError_t.
int longscanAttentionForward(const struct LongscanAttention* call, const struct LongscanAttentionForward* io,
                             struct CUstream_st* stream);
int longscanAttentionBackward(const struct LongscanAttention* call,
                              const struct LongscanAttentionBackward* io, struct CUstream_st* stream);
int longscanChunkEnds(const struct LongscanChunkEnds* call, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
