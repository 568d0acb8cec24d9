#pragma once

#include <stdint.h>

// The last rows of a sequence on CUDA devices, as plain C. Calls only enqueue on the stream; each returns 0,
// or a cudaError_t. All memory is the device's, row-major, aligned to 16 bytes.

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/// x [B, T, D], halo [B, R, D] (null: zeros) and tail [B, R, D], all f32 or all bf16.
struct LongscanSequenceTail {
  int64_t B, T, D, R;
  int32_t isBf16;
  const int32_t* resets;  // [B, T], 1 where a document starts, or null
};

/// tail: the last R rows of (halo, x); zeros before the last token's document.
int longscanSequenceTail(const struct LongscanSequenceTail* call, const void* x, const void* halo, void* tail,
                         struct CUstream_st* stream);
/// Adds each row of tail to the one of x or halo that it came from.
int longscanSequenceTailAdd(const struct LongscanSequenceTail* call, const void* tail, void* x, void* halo,
                            struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif
